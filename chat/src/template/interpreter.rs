//! Runs a template. Each step is paid for at the [`Meter`] before it is done.

use std::collections::HashMap;
use std::sync::Arc;

use super::ast::{Arguments, Expression, For, Kind, Operator, Program, Statement};
use super::library::{self, Given};
use super::meter::{MAX_NESTING, Meter, Problem, wrong};
use super::value::Value;

/// Bytes that a template may write.
const MAX_OUTPUT: usize = 1 << 20;

/// Runs `program` with these variables; what it writes.
pub fn run(program: &Program, variables: Vec<(&str, Value)>, meter: Meter) -> Result<String, Problem> {
    let mut interpreter = Interpreter {
        program,
        meter,
        out: String::new(),
        scopes: vec![variables.into_iter().collect()],
        base: 0,
        loops: Vec::new(),
        namespaces: Vec::new(),
        nesting: 0,
    };
    interpreter.block(&program.body)?;
    Ok(interpreter.out)
}

struct Interpreter<'a> {
    program: &'a Program,
    meter: Meter,
    out: String,
    /// Variables: of the template, then of each loop and macro that is run.
    scopes: Vec<HashMap<&'a str, Value>>,
    /// Where the scopes of the macro that is run begin.
    base: usize,
    loops: Vec<Loop>,
    namespaces: Vec<Vec<(Arc<str>, Value)>>,
    nesting: usize,
}

/// What `loop` is.
struct Loop {
    items: Vec<Value>,
    at: usize,
    /// The number of scopes at its beginning: those of a macro hide the loops around it.
    base: usize,
}

/// How a block ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

impl<'a> Interpreter<'a> {
    fn block(&mut self, body: &'a [Statement]) -> Result<Flow, Problem> {
        self.deeper(|me| {
            for statement in body {
                let flow = me.statement(statement)?;
                if flow != Flow::On {
                    return Ok(flow);
                }
            }
            Ok(Flow::On)
        })
    }

    fn statement(&mut self, statement: &'a Statement) -> Result<Flow, Problem> {
        self.meter.steps(1)?;
        match statement {
            Statement::Text(text) => self.write(text)?,
            Statement::Print(expression) => {
                let text = self.value(expression)?.to_text(&mut self.meter)?;
                self.write(&text)?;
            }
            Statement::If(branches, otherwise) => {
                for (condition, body) in branches {
                    if self.value(condition)?.is_true() {
                        return self.block(body);
                    }
                }
                return self.block(otherwise);
            }
            Statement::For(each) => self.for_loop(each)?,
            Statement::Set(names, expression) => {
                let value = self.value(expression)?;
                self.assign(names, value)?;
            }
            Statement::SetField(name, field, expression) => {
                let value = self.value(expression)?;
                self.set_field(name, field, value)?;
            }
            Statement::Capture(name, body) => {
                let text = self.captured(body)?;
                self.set(name, text);
            }
            Statement::Define(name, number) => self.set(name, Value::Macro(*number)),
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn for_loop(&mut self, each: &'a For) -> Result<(), Problem> {
        let over = self.value(&each.over)?;
        let mut items = library::items(&over, &mut self.meter)?;
        if let Some(filter) = &each.filter {
            let mut kept = Vec::new();
            for item in items {
                self.scopes.push(HashMap::new());
                self.assign(&each.targets, item.clone())?;
                let keep = self.value(filter)?.is_true();
                self.scopes.pop();
                if keep {
                    kept.push(item);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            self.block(&each.otherwise)?;
            return Ok(());
        }
        let count = items.len();
        self.loops.push(Loop { items, at: 0, base: self.base });
        for at in 0..count {
            self.meter.steps(1)?;
            let Some(this) = self.loops.last_mut() else { break };
            this.at = at;
            let item = this.items[at].clone();
            self.scopes.push(HashMap::new());
            self.assign(&each.targets, item)?;
            let flow = self.block(&each.body)?;
            self.scopes.pop();
            if flow == Flow::Break {
                break;
            }
        }
        self.loops.pop();
        Ok(())
    }

    fn assign(&mut self, names: &'a [Arc<str>], value: Value) -> Result<(), Problem> {
        if let [name] = names {
            self.set(name, value);
            return Ok(());
        }
        let parts = library::items(&value, &mut self.meter)?;
        if parts.len() != names.len() {
            return wrong(format!("{} names are set to {} values", names.len(), parts.len()));
        }
        for (name, part) in names.iter().zip(parts) {
            self.set(name, part);
        }
        Ok(())
    }

    fn set(&mut self, name: &'a str, value: Value) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name, value);
        }
    }

    fn set_field(&mut self, name: &str, field: &Arc<str>, value: Value) -> Result<(), Problem> {
        let Value::Namespace(number) = self.variable(name) else {
            return wrong(format!("{name} is not a namespace, so {name}.{field} cannot be set"));
        };
        let fields = &mut self.namespaces[number];
        self.meter.steps(1 + fields.len() / 8)?;
        match fields.iter_mut().find(|(name, _)| name == field) {
            Some((_, old)) => *old = value,
            None => {
                self.meter.make(64)?;
                fields.push((field.clone(), value));
            }
        }
        Ok(())
    }

    /// What a block writes.
    fn captured(&mut self, body: &'a [Statement]) -> Result<Value, Problem> {
        let around = std::mem::take(&mut self.out);
        self.block(body)?;
        Ok(Value::text(std::mem::replace(&mut self.out, around)))
    }

    fn write(&mut self, text: &str) -> Result<(), Problem> {
        if self.out.len() + text.len() > MAX_OUTPUT {
            return wrong(format!("it writes more than {MAX_OUTPUT} bytes"));
        }
        self.meter.make(text.len())?;
        self.out.push_str(text);
        Ok(())
    }

    fn variable(&self, name: &str) -> Value {
        let own = self.scopes[self.base..].iter().rev();
        own.chain(&self.scopes[..1]).find_map(|scope| scope.get(name)).cloned().unwrap_or(Value::Undefined)
    }

    fn value(&mut self, expression: &'a Expression) -> Result<Value, Problem> {
        self.meter.steps(1)?;
        self.deeper(|me| me.value_of(&expression.kind))
    }

    fn value_of(&mut self, kind: &'a Kind) -> Result<Value, Problem> {
        match kind {
            Kind::Constant(value) => Ok(value.clone()),
            Kind::Name(name) => Ok(self.variable(name)),
            Kind::List(items) => {
                let values = self.values(items)?;
                Value::list(values, &mut self.meter)
            }
            Kind::Map(entries) => self.map(entries),
            Kind::Field(of, name) => self.field(of, name),
            Kind::Item(of, key) => {
                let (of, key) = (self.value(of)?, self.value(key)?);
                self.item(&of, &key)
            }
            Kind::Slice(of, parts) => {
                let of = self.value(of)?;
                let mut bounds = [None; 3];
                for (bound, part) in bounds.iter_mut().zip(parts) {
                    *bound = match part.as_ref().map(|part| self.value(part)).transpose()? {
                        None | Some(Value::None) => None,
                        Some(Value::Int(number)) => Some(number),
                        Some(other) => return wrong(format!("a slice ends at a number, not at {}", other.kind())),
                    };
                }
                library::slice(&of, bounds, &mut self.meter)
            }
            Kind::Call(name, arguments) => self.call(name, arguments),
            Kind::Method(of, name, arguments) => {
                let (of, given) = (self.value(of)?, self.given(arguments)?);
                library::method(&of, name, &given, &mut self.meter)
            }
            Kind::Filter(of, name, arguments) => {
                let (of, given) = (self.value(of)?, self.given(arguments)?);
                library::filter(&of, name, &given, &mut self.meter)
            }
            Kind::Test(of, name, arguments) => {
                let (of, given) = (self.value(of)?, self.given(arguments)?);
                library::test(&of, name, &given, &mut self.meter).map(Value::Bool)
            }
            Kind::Not(inner) => Ok(Value::Bool(!self.value(inner)?.is_true())),
            Kind::Negate(inner) => match self.value(inner)? {
                Value::Int(number) => number.checked_neg().map(Value::Int).map_or_else(too_large, Ok),
                other => wrong(format!("{} has no negative", other.kind())),
            },
            Kind::Binary(operator, left, right) => self.binary(*operator, left, right),
            Kind::Choice(parts) => {
                let [then, when, otherwise] = &**parts;
                let chosen = if self.value(when)?.is_true() { then } else { otherwise };
                self.value(chosen)
            }
        }
    }

    fn values(&mut self, expressions: &'a [Expression]) -> Result<Vec<Value>, Problem> {
        let mut values = Vec::with_capacity(expressions.len());
        for expression in expressions {
            values.push(self.value(expression)?);
        }
        Ok(values)
    }

    fn given(&mut self, arguments: &'a Arguments) -> Result<Given, Problem> {
        let plain = self.values(&arguments.plain)?;
        let mut named = Vec::with_capacity(arguments.named.len());
        for (name, expression) in &arguments.named {
            named.push((name.clone(), self.value(expression)?));
        }
        Ok(Given { plain, named })
    }

    fn map(&mut self, pairs: &'a [(Expression, Expression)]) -> Result<Value, Problem> {
        let mut entries: Vec<(Arc<str>, Value)> = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let Value::Text(key) = self.value(key)? else { return wrong("a map's keys are texts") };
            let value = self.value(value)?;
            self.meter.steps(1 + entries.len() / 8)?;
            match entries.iter_mut().find(|(name, _)| *name == key) {
                Some((_, old)) => *old = value,
                None => entries.push((key, value)),
            }
        }
        Value::map(entries, &mut self.meter)
    }

    fn field(&mut self, of: &'a Expression, name: &str) -> Result<Value, Problem> {
        if let Kind::Name(variable) = &of.kind
            && **variable == *"loop"
            && let Some(this) = self.loops.last().filter(|this| this.base == self.base)
        {
            return loop_field(this, name);
        }
        let of = self.value(of)?;
        self.field_of(&of, name)
    }

    fn field_of(&mut self, of: &Value, name: &str) -> Result<Value, Problem> {
        match of {
            Value::Undefined | Value::None => wrong(format!("{} has no {name}", of.kind())),
            Value::Namespace(number) => {
                let fields = &self.namespaces[*number];
                self.meter.steps(1 + fields.len() / 8)?;
                Ok(fields.iter().find(|(field, _)| **field == *name).map_or(Value::Undefined, |(_, v)| v.clone()))
            }
            other => other.get(name, &mut self.meter),
        }
    }

    fn item(&mut self, of: &Value, key: &Value) -> Result<Value, Problem> {
        match (of, key) {
            (Value::List(list), Value::Int(at)) => {
                let at = if *at < 0 { at.saturating_add_unsigned(list.items.len() as u64) } else { *at };
                Ok(usize::try_from(at).ok().and_then(|at| list.items.get(at)).cloned().unwrap_or(Value::Undefined))
            }
            (Value::Text(_), Value::Int(at)) => {
                let end = if *at == -1 { None } else { at.checked_add(1) };
                library::slice(of, [Some(*at), end, None], &mut self.meter)
            }
            (of, Value::Text(name)) => self.field_of(of, name),
            (Value::Undefined, _) => wrong("something undefined has no items"),
            (_, _) => Ok(Value::Undefined),
        }
    }

    fn call(&mut self, name: &'a str, arguments: &'a Arguments) -> Result<Value, Problem> {
        let given = self.given(arguments)?;
        if let Value::Macro(number) = self.variable(name) {
            return self.call_macro(number, given);
        }
        match name {
            "range" => library::range(&given, &mut self.meter),
            "dict" => Value::map(given.named, &mut self.meter),
            "namespace" => {
                let mut fields = given.named;
                if let Some(Value::Map(map)) = given.plain.first() {
                    self.meter.make(64 * map.entries.len())?;
                    fields.splice(0..0, map.entries.iter().cloned());
                }
                self.meter.make(64 * (1 + fields.len()))?;
                self.namespaces.push(fields);
                Ok(Value::Namespace(self.namespaces.len() - 1))
            }
            "raise_exception" => {
                let text = given.plain.first().map(|value| value.to_text(&mut self.meter)).transpose()?;
                Err(Problem::Raised(
                    text.map_or("it refuses this chat".into(), |text| text.chars().take(500).collect()),
                ))
            }
            _ => wrong(format!("there is no function {name}")),
        }
    }

    fn call_macro(&mut self, number: usize, given: Given) -> Result<Value, Problem> {
        let called = &self.program.macros[number];
        let base = std::mem::replace(&mut self.base, self.scopes.len());
        self.scopes.push(HashMap::new());
        let mut plain = given.plain.into_iter();
        for (name, default) in &called.parameters {
            let named = given.named.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone());
            let value = match (plain.next().or(named), default) {
                (Some(value), _) => value,
                (None, Some(default)) => self.value(default)?,
                (None, None) => Value::Undefined,
            };
            self.set(name, value);
        }
        let text = self.captured(&called.body)?;
        self.scopes.truncate(self.base);
        self.base = base;
        Ok(text)
    }

    fn binary(&mut self, operator: Operator, left: &'a Expression, right: &'a Expression) -> Result<Value, Problem> {
        let a = self.value(left)?;
        match operator {
            Operator::Or if a.is_true() => return Ok(a),
            Operator::And if !a.is_true() => return Ok(a),
            _ => {}
        }
        let b = self.value(right)?;
        let meter = &mut self.meter;
        Ok(match operator {
            Operator::Or | Operator::And => b,
            Operator::Equal => Value::Bool(a.equals(&b, meter)?),
            Operator::Unequal => Value::Bool(!a.equals(&b, meter)?),
            Operator::Less => Value::Bool(a.compare(&b, meter)?.is_lt()),
            Operator::AtMost => Value::Bool(a.compare(&b, meter)?.is_le()),
            Operator::More => Value::Bool(a.compare(&b, meter)?.is_gt()),
            Operator::AtLeast => Value::Bool(a.compare(&b, meter)?.is_ge()),
            Operator::In => Value::Bool(b.contains(&a, meter)?),
            Operator::Join => {
                let (a, b) = (a.to_text(meter)?, b.to_text(meter)?);
                library::concat(&a, &b, meter)?
            }
            Operator::Add | Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Remainder => {
                return library::arithmetic(operator, &a, &b, meter);
            }
        })
    }

    fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Problem>) -> Result<T, Problem> {
        // Twice: a template that may be written may also call a macro.
        if self.nesting >= 2 * MAX_NESTING {
            return Err(Problem::Nesting);
        }
        self.nesting += 1;
        let done = work(self);
        self.nesting -= 1;
        done
    }
}

fn too_large() -> Result<Value, Problem> {
    wrong("a number is too large")
}

fn loop_field(this: &Loop, name: &str) -> Result<Value, Problem> {
    let (at, count) = (this.at, this.items.len());
    let item = |at: Option<usize>| at.and_then(|at| this.items.get(at)).cloned().unwrap_or(Value::Undefined);
    Ok(match name {
        "index" => Value::Int(at as i64 + 1),
        "index0" => Value::Int(at as i64),
        "revindex" => Value::Int((count - at) as i64),
        "revindex0" => Value::Int((count - at - 1) as i64),
        "first" => Value::Bool(at == 0),
        "last" => Value::Bool(at + 1 == count),
        "length" => Value::Int(count as i64),
        "previtem" => item(at.checked_sub(1)),
        "nextitem" => item(Some(at + 1)),
        other => return wrong(format!("loop has no {other}")),
    })
}
