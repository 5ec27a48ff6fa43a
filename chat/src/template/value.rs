//! What a template computes with. A container knows how deep and how large it is, all that it contains counted as often as
//! it is contained: so nothing that walks through one can take longer than was paid for.

use std::cmp::Ordering;
use std::fmt::{self, Write};
use std::sync::Arc;

use super::meter::{Meter, Problem, wrong};

/// Lists in lists.
const MAX_DEPTH: usize = 16;

/// Bytes of a container with all that is in it.
const MAX_WEIGHT: usize = 4 << 20;

/// Bytes of a place in a list; a map's have two and a key.
const PLACE: usize = 32;

/// A value.
#[derive(Debug, Clone)]
pub enum Value {
    /// A name that nobody has set.
    Undefined,
    /// `none`
    None,
    /// `true`, `false`
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Text.
    Text(Arc<str>),
    /// A list, or a tuple.
    List(Arc<List>),
    /// A map from texts, in the order in which they came.
    Map(Arc<Map>),
    /// A place for values that outlives a loop: its number.
    Namespace(usize),
    /// A macro: its number.
    Macro(usize),
}

/// Values in a row.
#[derive(Debug)]
pub struct List {
    /// The values.
    pub items: Vec<Value>,
    size: Size,
}

/// Values with names.
#[derive(Debug)]
pub struct Map {
    /// The names and values.
    pub entries: Vec<(Arc<str>, Value)>,
    size: Size,
}

#[derive(Debug, Clone, Copy)]
struct Size {
    depth: usize,
    weight: usize,
}

impl Size {
    fn of<'a>(values: impl Iterator<Item = &'a Value>, own: usize) -> Result<Self, Problem> {
        let mut size = Size { depth: 0, weight: own };
        for value in values {
            let inner = value.size();
            size = Size { depth: size.depth.max(inner.depth), weight: size.weight.saturating_add(inner.weight) };
        }
        size.depth += 1;
        if size.depth > MAX_DEPTH {
            return wrong(format!("it nests lists deeper than {MAX_DEPTH}"));
        }
        if size.weight > MAX_WEIGHT {
            return Err(Problem::Bytes);
        }
        Ok(size)
    }
}

impl Value {
    /// A text that has been paid for.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Value::Text(text.into())
    }

    /// A list.
    pub fn list(items: Vec<Value>, meter: &mut Meter) -> Result<Self, Problem> {
        meter.make(PLACE * (1 + items.len()))?;
        let size = Size::of(items.iter(), PLACE * (1 + items.len()))?;
        Ok(Value::List(Arc::new(List { items, size })))
    }

    /// A map.
    pub fn map(entries: Vec<(Arc<str>, Value)>, meter: &mut Meter) -> Result<Self, Problem> {
        let own = entries.iter().map(|(key, _)| 2 * PLACE + key.len()).sum::<usize>() + PLACE;
        meter.make(own)?;
        let size = Size::of(entries.iter().map(|(_, value)| value), own)?;
        Ok(Value::Map(Arc::new(Map { entries, size })))
    }

    /// Bytes, with all that is in it, counted as often as it is in it.
    pub fn weight(&self) -> usize {
        self.size().weight
    }

    fn size(&self) -> Size {
        match self {
            Value::Text(text) => Size { depth: 0, weight: text.len() },
            Value::List(list) => list.size,
            Value::Map(map) => map.size,
            _ => Size { depth: 0, weight: 0 },
        }
    }

    /// Whether `if` takes it for true.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Undefined | Value::None => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Text(text) => !text.is_empty(),
            Value::List(list) => !list.items.is_empty(),
            Value::Map(map) => !map.entries.is_empty(),
            Value::Namespace(_) | Value::Macro(_) => true,
        }
    }

    /// What kind of thing it is, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Undefined => "something undefined",
            Value::None => "none",
            Value::Bool(_) => "a truth value",
            Value::Int(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Namespace(_) => "a namespace",
            Value::Macro(_) => "a macro",
        }
    }

    /// How many things are in it.
    pub fn length(&self) -> Result<usize, Problem> {
        match self {
            Value::Text(text) => Ok(text.chars().count()),
            Value::List(list) => Ok(list.items.len()),
            Value::Map(map) => Ok(map.entries.len()),
            Value::Undefined => Ok(0),
            other => wrong(format!("{} has no length", other.kind())),
        }
    }

    /// A map's value of that name, or nothing.
    pub fn get(&self, key: &str, meter: &mut Meter) -> Result<Value, Problem> {
        let Value::Map(map) = self else { return Ok(Value::Undefined) };
        meter.steps(1 + map.entries.len() / 8)?;
        Ok(map.entries.iter().find(|(name, _)| **name == *key).map_or(Value::Undefined, |(_, value)| value.clone()))
    }

    /// Whether they are the same.
    pub fn equals(&self, other: &Value, meter: &mut Meter) -> Result<bool, Problem> {
        meter.read(self.weight().min(other.weight()))?;
        Ok(same(self, other))
    }

    /// Which is less, where one can say.
    pub fn compare(&self, other: &Value, meter: &mut Meter) -> Result<Ordering, Problem> {
        meter.read(self.weight().min(other.weight()))?;
        match (self, other) {
            (Value::Int(a), Value::Int(b)) => Ok(a.cmp(b)),
            (Value::Text(a), Value::Text(b)) => Ok(a.cmp(b)),
            (a, b) => wrong(format!("{} cannot be compared with {}", a.kind(), b.kind())),
        }
    }

    /// Whether `part` is in it.
    pub fn contains(&self, part: &Value, meter: &mut Meter) -> Result<bool, Problem> {
        match (self, part) {
            (Value::Text(text), Value::Text(part)) => {
                meter.read(text.len())?;
                Ok(text.contains(&**part))
            }
            (Value::List(list), part) => {
                meter.read(self.weight())?;
                Ok(list.items.iter().any(|item| same(item, part)))
            }
            (Value::Map(_), Value::Text(key)) => Ok(!matches!(self.get(key, meter)?, Value::Undefined)),
            (Value::Undefined, _) => Ok(false),
            (all, part) => wrong(format!("{} cannot be in {}", part.kind(), all.kind())),
        }
    }

    /// Its text, as it is printed.
    pub fn to_text(&self, meter: &mut Meter) -> Result<Arc<str>, Problem> {
        if let Value::Text(text) = self {
            return Ok(text.clone());
        }
        // A number has at most 20 digits; a text in a list at most doubles by what stands for its quotes.
        meter.make(32 + 2 * self.weight())?;
        Ok(self.to_string().into())
    }
}

/// As deep as the shallower, and as long as the lighter: whoever calls has paid for that.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Undefined, Value::Undefined) | (Value::None, Value::None) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::List(a), Value::List(b)) => {
            a.items.len() == b.items.len() && a.items.iter().zip(&b.items).all(|(a, b)| same(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            a.entries.len() == b.entries.len()
                && a.entries.iter().zip(&b.entries).all(|((k, a), (l, b))| k == l && same(a, b))
        }
        (Value::Namespace(a), Value::Namespace(b)) | (Value::Macro(a), Value::Macro(b)) => a == b,
        _ => false,
    }
}

/// As Python prints it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Undefined => Ok(()),
            Value::None => f.write_str("None"),
            Value::Bool(value) => f.write_str(if *value { "True" } else { "False" }),
            Value::Int(value) => write!(f, "{value}"),
            Value::Text(text) => f.write_str(text),
            Value::List(list) => {
                f.write_char('[')?;
                for (place, item) in list.items.iter().enumerate() {
                    f.write_str(if place == 0 { "" } else { ", " })?;
                    quoted(item, f)?;
                }
                f.write_char(']')
            }
            Value::Map(map) => {
                f.write_char('{')?;
                for (place, (key, value)) in map.entries.iter().enumerate() {
                    f.write_str(if place == 0 { "" } else { ", " })?;
                    quoted(&Value::Text(key.clone()), f)?;
                    f.write_str(": ")?;
                    quoted(value, f)?;
                }
                f.write_char('}')
            }
            Value::Namespace(_) => f.write_str("<namespace>"),
            Value::Macro(_) => f.write_str("<macro>"),
        }
    }
}

fn quoted(value: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Value::Text(text) = value else { return write!(f, "{value}") };
    f.write_char('\'')?;
    for character in text.chars() {
        match character {
            '\n' => f.write_str("\\n")?,
            '\'' | '\\' => write!(f, "\\{character}")?,
            other => f.write_char(other)?,
        }
    }
    f.write_char('\'')
}
