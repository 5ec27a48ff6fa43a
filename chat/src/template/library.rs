//! The filters, tests, methods and functions that chat templates use. What makes a text works out its length first, and pays.

use std::sync::Arc;

use super::ast::Operator;
use super::meter::{Meter, Problem, wrong};
use super::value::Value;

/// Bytes that an item of a list takes while it is made.
const ITEM: usize = 32;

/// What a call is given.
#[derive(Debug, Default)]
pub struct Given {
    /// By place.
    pub plain: Vec<Value>,
    /// By name.
    pub named: Vec<(Arc<str>, Value)>,
}

impl Given {
    /// The argument at `place`, or of that name.
    fn get(&self, place: usize, name: &str) -> Option<&Value> {
        let named = || self.named.iter().find(|(given, _)| **given == *name).map(|(_, value)| value);
        self.plain.get(place).or_else(named)
    }

    fn text(&self, place: usize, name: &str) -> Result<Option<&Arc<str>>, Problem> {
        match self.get(place, name) {
            None | Some(Value::None) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => wrong(format!("{name} is {}, expected a text", other.kind())),
        }
    }

    fn number(&self, place: usize, name: &str) -> Result<Option<i64>, Problem> {
        match self.get(place, name) {
            None | Some(Value::None) => Ok(None),
            Some(Value::Int(number)) => Ok(Some(*number)),
            Some(other) => wrong(format!("{name} is {}, expected a number", other.kind())),
        }
    }

    fn needed(&self, place: usize, name: &str) -> Result<&Arc<str>, Problem> {
        self.text(place, name)?.map_or_else(|| wrong(format!("{name} is missing")), Ok)
    }
}

/// What a loop walks through.
pub fn items(value: &Value, meter: &mut Meter) -> Result<Vec<Value>, Problem> {
    match value {
        Value::Undefined => Ok(Vec::new()),
        Value::List(list) => {
            meter.make(ITEM * list.items.len())?;
            Ok(list.items.clone())
        }
        Value::Map(map) => {
            meter.make(ITEM * map.entries.len())?;
            Ok(map.entries.iter().map(|(key, _)| Value::Text(key.clone())).collect())
        }
        Value::Text(text) => {
            meter.make(3 * ITEM * text.len())?;
            Ok(text.chars().map(|character| Value::text(character.to_string())).collect())
        }
        other => wrong(format!("{} cannot be walked through", other.kind())),
    }
}

/// `value[from:to:step]`
pub fn slice(value: &Value, [from, to, step]: [Option<i64>; 3], meter: &mut Meter) -> Result<Value, Problem> {
    let step = step.unwrap_or(1);
    if step == 0 {
        return wrong("a slice's step is 0");
    }
    match value {
        Value::Undefined | Value::None => Value::list(Vec::new(), meter),
        Value::List(list) => {
            meter.check(ITEM * list.items.len())?;
            let places = places(list.items.len(), from, to, step);
            Value::list(places.into_iter().map(|at| list.items[at].clone()).collect(), meter)
        }
        Value::Text(text) => {
            // The characters, and their places.
            meter.make((4 + 8 + 4) * text.len())?;
            let characters: Vec<char> = text.chars().collect();
            let places = places(characters.len(), from, to, step);
            Ok(Value::text(places.into_iter().map(|at| characters[at]).collect::<String>()))
        }
        other => wrong(format!("{} cannot be sliced", other.kind())),
    }
}

/// As Python counts; at most `length` places.
fn places(length: usize, from: Option<i64>, to: Option<i64>, step: i64) -> Vec<usize> {
    let end = length as i64;
    let (low, high) = if step > 0 { (0, end) } else { (-1, end - 1) };
    let clamp = |at: i64| if at < 0 { at.saturating_add(end) } else { at }.clamp(low, high);
    let mut at = from.map_or(if step > 0 { low } else { high }, clamp);
    let to = to.map_or(if step > 0 { high } else { low }, clamp);
    let mut places = Vec::new();
    while (step > 0 && at < to) || (step < 0 && at > to) {
        places.push(at as usize);
        at = at.saturating_add(step);
    }
    places
}

/// Two texts as one.
pub fn concat(a: &str, b: &str, meter: &mut Meter) -> Result<Value, Problem> {
    meter.make(a.len() + b.len())?;
    Ok(Value::text([a, b].concat()))
}

/// `+`, `-`, `*`, `//`, `%`
pub fn arithmetic(operator: Operator, a: &Value, b: &Value, meter: &mut Meter) -> Result<Value, Problem> {
    match (operator, a, b) {
        (Operator::Add, Value::Text(a), Value::Text(b)) => concat(a, b, meter),
        (Operator::Add, Value::List(a), Value::List(b)) => {
            meter.check(ITEM * (a.items.len() + b.items.len()))?;
            Value::list(a.items.iter().chain(&b.items).cloned().collect(), meter)
        }
        (Operator::Multiply, Value::Text(text), Value::Int(times))
        | (Operator::Multiply, Value::Int(times), Value::Text(text)) => {
            let times = usize::try_from(*times).unwrap_or(0);
            meter.make(text.len().saturating_mul(times))?;
            Ok(Value::text(text.repeat(times)))
        }
        (operator, Value::Int(a), Value::Int(b)) => {
            let number = match operator {
                Operator::Add => a.checked_add(*b),
                Operator::Subtract => a.checked_sub(*b),
                Operator::Multiply => a.checked_mul(*b),
                // Rounded down, and with the divisor's sign, as Python does.
                Operator::Divide => a.checked_div(*b).map(|q| q - i64::from(a % b != 0 && (*a < 0) != (*b < 0))),
                _ => a.checked_rem(*b).map(|r| if r != 0 && (r < 0) != (*b < 0) { r + b } else { r }),
            };
            number.map(Value::Int).map_or_else(|| wrong("a number is too large, or is divided by 0"), Ok)
        }
        (_, a, b) => wrong(format!("{} and {} cannot be calculated with", a.kind(), b.kind())),
    }
}

/// `range(to)`, `range(from, to)`, `range(from, to, step)`
pub fn range(given: &Given, meter: &mut Meter) -> Result<Value, Problem> {
    let numbers = [given.number(0, "start")?, given.number(1, "stop")?, given.number(2, "step")?];
    let (from, to, step) = match numbers {
        [Some(to), None, None] => (0, to, 1),
        [Some(from), Some(to), step] => (from, to, step.unwrap_or(1)),
        _ => return wrong("range needs a number"),
    };
    let distance = if step > 0 { to.saturating_sub(from) } else { from.saturating_sub(to) };
    if step == 0 || step == i64::MIN {
        return wrong("range has no such step");
    }
    let count = usize::try_from(distance.max(0)).unwrap_or(usize::MAX).div_ceil(step.unsigned_abs() as usize);
    meter.check(count.saturating_mul(ITEM))?;
    Value::list((0..count as i64).map(|at| Value::Int(from + at * step)).collect(), meter)
}

/// `value.name(given)`, as Python has it.
pub fn method(value: &Value, name: &str, given: &Given, meter: &mut Meter) -> Result<Value, Problem> {
    match (value, name) {
        (Value::Map(map), "items") => {
            let mut pairs = Vec::with_capacity(map.entries.len());
            for (key, value) in &map.entries {
                pairs.push(Value::list(vec![Value::Text(key.clone()), value.clone()], meter)?);
            }
            Value::list(pairs, meter)
        }
        (Value::Map(_), "keys") => {
            let keys = items(value, meter)?;
            Value::list(keys, meter)
        }
        (Value::Map(map), "values") => Value::list(map.entries.iter().map(|(_, value)| value.clone()).collect(), meter),
        (Value::Map(_), "get") => match value.get(given.needed(0, "key")?, meter)? {
            Value::Undefined => Ok(given.get(1, "default").cloned().unwrap_or(Value::None)),
            found => Ok(found),
        },
        (Value::Text(text), _) => text_method(text, name, given, meter),
        (other, name) => wrong(format!("{} cannot {name}", other.kind())),
    }
}

fn text_method(text: &Arc<str>, name: &str, given: &Given, meter: &mut Meter) -> Result<Value, Problem> {
    match name {
        "startswith" | "endswith" | "replace" | "split" | "join" => meter.read(text.len())?,
        // Another case may be up to three times as long.
        _ => meter.make(3 * text.len())?,
    }
    let among = |place| -> Result<_, Problem> {
        let set = given.text(place, "chars")?.cloned();
        Ok(move |c: char| set.as_ref().map_or_else(|| c.is_whitespace(), |set| set.contains(c)))
    };
    Ok(match name {
        "strip" => Value::text(text.trim_matches(among(0)?)),
        "lstrip" => Value::text(text.trim_start_matches(among(0)?)),
        "rstrip" => Value::text(text.trim_end_matches(among(0)?)),
        "upper" => Value::text(text.to_uppercase()),
        "lower" => Value::text(text.to_lowercase()),
        "capitalize" => {
            let mut characters = text.chars();
            let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
            Value::text(first + &characters.as_str().to_lowercase())
        }
        "title" => Value::text(title(text)),
        "startswith" => Value::Bool(text.starts_with(&**given.needed(0, "prefix")?)),
        "endswith" => Value::Bool(text.ends_with(&**given.needed(0, "suffix")?)),
        "replace" => replace(text, given, meter)?,
        "split" => split(text, given, meter)?,
        "join" => join(given.get(0, "items").unwrap_or(&Value::Undefined), text, meter)?,
        other => return wrong(format!("a text cannot {other}")),
    })
}

/// Each word begins with a capital.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for character in text.chars() {
        if inside {
            out.extend(character.to_lowercase());
        } else {
            out.extend(character.to_uppercase());
        }
        inside = character.is_alphabetic();
    }
    out
}

fn replace(text: &str, given: &Given, meter: &mut Meter) -> Result<Value, Problem> {
    let (old, new) = (given.needed(0, "old")?, given.needed(1, "new")?);
    let most = given.number(2, "count")?.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    meter.read(text.len())?;
    let count = text.matches(&**old).count().min(most);
    meter.make((text.len() - count * old.len()).saturating_add(count.saturating_mul(new.len())))?;
    Ok(Value::text(text.replacen(&**old, new, most)))
}

fn split(text: &str, given: &Given, meter: &mut Meter) -> Result<Value, Problem> {
    let most = given.number(1, "maxsplit")?.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX - 1);
    let separator = given.text(0, "sep")?;
    let pieces = match separator {
        Some(separator) if separator.is_empty() => return wrong("a text cannot be split at nothing"),
        Some(separator) => text.matches(&**separator).count() + 1,
        None => text.split_whitespace().count(),
    };
    meter.make(text.len() + pieces.min(most + 1) * 2 * ITEM)?;
    let pieces: Vec<Value> = match separator {
        Some(separator) => text.splitn(most + 1, &**separator).map(Value::text).collect(),
        None => text.split_whitespace().map(Value::text).collect(),
    };
    Value::list(pieces, meter)
}

fn join(value: &Value, between: &str, meter: &mut Meter) -> Result<Value, Problem> {
    let mut texts = Vec::new();
    for item in items(value, meter)? {
        texts.push(item.to_text(meter)?);
    }
    let length = texts.iter().map(|text| text.len()).sum::<usize>();
    meter.make(length.saturating_add(between.len().saturating_mul(texts.len())))?;
    let mut out = String::with_capacity(length);
    for (place, text) in texts.iter().enumerate() {
        out.push_str(if place == 0 { "" } else { between });
        out.push_str(text);
    }
    Ok(Value::text(out))
}

/// `value | name(given)`
pub fn filter(value: &Value, name: &str, given: &Given, meter: &mut Meter) -> Result<Value, Problem> {
    Ok(match name {
        "default" | "d" => match value {
            Value::Undefined => given.get(0, "default_value").cloned().unwrap_or_else(|| Value::text("")),
            other if !other.is_true() && given.get(1, "boolean").is_some_and(Value::is_true) => {
                given.get(0, "default_value").cloned().unwrap_or_else(|| Value::text(""))
            }
            other => other.clone(),
        },
        "length" | "count" => Value::Int(value.length()? as i64),
        "safe" => value.clone(),
        "string" => Value::Text(value.to_text(meter)?),
        "int" => match value {
            Value::Int(number) => Value::Int(*number),
            Value::Bool(truth) => Value::Int(i64::from(*truth)),
            Value::Text(text) => Value::Int(text.trim().parse().unwrap_or(0)),
            _ => Value::Int(0),
        },
        "list" => {
            let all = items(value, meter)?;
            Value::list(all, meter)?
        }
        "items" => match value {
            Value::Undefined => Value::list(Vec::new(), meter)?,
            map => method(map, "items", given, meter)?,
        },
        "first" => items(value, meter)?.into_iter().next().unwrap_or(Value::Undefined),
        "last" => items(value, meter)?.pop().unwrap_or(Value::Undefined),
        "reverse" => slice(value, [None, None, Some(-1)], meter)?,
        "join" => join(value, given.text(0, "d")?.map_or("", |between| between), meter)?,
        "map" => map(value, given, meter)?,
        "select" | "reject" | "selectattr" | "rejectattr" => select(value, name, given, meter)?,
        "indent" => indent(&value.to_text(meter)?, given, meter)?,
        "trim" => text_method(&value.to_text(meter)?, "strip", given, meter)?,
        "upper" | "lower" | "capitalize" | "title" | "replace" => {
            text_method(&value.to_text(meter)?, name, given, meter)?
        }
        other => return wrong(format!("there is no filter {other}")),
    })
}

/// Of each item an attribute, or what a filter makes of it.
fn map(value: &Value, given: &Given, meter: &mut Meter) -> Result<Value, Problem> {
    let attribute = given.text(usize::MAX, "attribute")?;
    let mut out = Vec::new();
    for item in items(value, meter)? {
        out.push(match attribute {
            Some(attribute) => item.get(attribute, meter)?,
            None => {
                let name = given.needed(0, "filter")?;
                if &**name == "map" {
                    return wrong("map cannot map map");
                }
                filter(
                    &item,
                    name,
                    &Given { plain: given.plain.get(1..).unwrap_or_default().to_vec(), named: Vec::new() },
                    meter,
                )?
            }
        });
    }
    Value::list(out, meter)
}

/// The items, or those with an attribute, that a test holds for; or does not hold.
fn select(value: &Value, name: &str, given: &Given, meter: &mut Meter) -> Result<Value, Problem> {
    let (keep, by_attribute) = (name.starts_with("select"), name.ends_with("attr"));
    let skip = usize::from(by_attribute);
    let mut out = Vec::new();
    for item in items(value, meter)? {
        let looked_at = if by_attribute { item.get(given.needed(0, "attribute")?, meter)? } else { item.clone() };
        let holds = match given.text(skip, "test")? {
            None => looked_at.is_true(),
            Some(name) => {
                let given =
                    Given { plain: given.plain.get(skip + 1..).unwrap_or_default().to_vec(), named: Vec::new() };
                test(&looked_at, name, &given, meter)?
            }
        };
        if holds == keep {
            out.push(item);
        }
    }
    Value::list(out, meter)
}

/// Every line but the first, and those that are empty, a few columns to the right.
fn indent(text: &str, given: &Given, meter: &mut Meter) -> Result<Value, Problem> {
    let width = usize::try_from(given.number(0, "width")?.unwrap_or(4)).unwrap_or(0);
    let first = given.get(1, "first").is_some_and(Value::is_true);
    let blank = given.get(2, "blank").is_some_and(Value::is_true);
    let lines = text.matches('\n').count() + 1;
    meter.make(text.len().saturating_add(lines.saturating_mul(width)).saturating_add(width))?;
    let space = " ".repeat(width);
    let mut out = String::new();
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            out.push('\n');
        }
        if (number > 0 || first) && (blank || !line.is_empty()) {
            out.push_str(&space);
        }
        out.push_str(line);
    }
    Ok(Value::text(out))
}

/// `value is name(given)`
pub fn test(value: &Value, name: &str, given: &Given, meter: &mut Meter) -> Result<bool, Problem> {
    let other = || given.plain.first().map_or_else(|| wrong(format!("the test {name} needs a value")), Ok);
    Ok(match name {
        "defined" => !matches!(value, Value::Undefined),
        "undefined" => matches!(value, Value::Undefined),
        "none" => matches!(value, Value::None),
        "true" => matches!(value, Value::Bool(true)),
        "false" => matches!(value, Value::Bool(false)),
        "boolean" => matches!(value, Value::Bool(_)),
        "string" => matches!(value, Value::Text(_)),
        "number" | "integer" => matches!(value, Value::Int(_)),
        "mapping" => matches!(value, Value::Map(_)),
        "sequence" => matches!(value, Value::List(_) | Value::Text(_)),
        "iterable" => matches!(value, Value::List(_) | Value::Text(_) | Value::Map(_)),
        "odd" => matches!(value, Value::Int(number) if number % 2 != 0),
        "even" => matches!(value, Value::Int(number) if number % 2 == 0),
        "equalto" | "eq" => value.equals(other()?, meter)?,
        "ne" => !value.equals(other()?, meter)?,
        "in" => other()?.contains(value, meter)?,
        "divisibleby" => match (value, other()?) {
            (Value::Int(a), Value::Int(b)) => a.checked_rem(*b) == Some(0),
            _ => false,
        },
        unknown => return wrong(format!("there is no test {unknown}")),
    })
}
