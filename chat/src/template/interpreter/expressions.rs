//! Expressions: what a template computes with.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::ast::{Arguments, Expression, Kind, Operator};
use super::super::library::{self, Given};
use super::super::meter::{Problem, wrong};
use super::super::value::Value;
use super::{Interpreter, Loop};

impl<'a> Interpreter<'a> {
    pub(super) fn variable(&self, name: &str) -> Value {
        let own = self.scopes[self.base..].iter().rev();
        own.chain(&self.scopes[..1]).find_map(|scope| scope.get(name)).cloned().unwrap_or(Value::Undefined)
    }

    pub(super) fn value(&mut self, expression: &'a Expression) -> Result<Value, Problem> {
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
