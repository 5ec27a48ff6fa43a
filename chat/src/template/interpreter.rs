//! Runs a template. Each step is paid for at the [`Meter`] before it is done.

mod expressions;

use std::collections::HashMap;
use std::sync::Arc;

use super::ast::{For, Program, Statement};
use super::library;
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
