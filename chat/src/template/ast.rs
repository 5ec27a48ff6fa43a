//! A template as a tree. No path through it is longer than [`MAX_NESTING`](super::meter::MAX_NESTING), so that walking it, or
//! dropping it, needs little of the stack.

use std::sync::Arc;

use super::value::Value;

/// A whole template.
#[derive(Debug, Default)]
pub struct Program {
    /// What it does.
    pub body: Vec<Statement>,
    /// Its macros, by number.
    pub macros: Vec<Macro>,
}

/// `{% macro name(parameters) %}body{% endmacro %}`
#[derive(Debug)]
pub struct Macro {
    /// Names, and what they are where nothing is given.
    pub parameters: Vec<(Arc<str>, Option<Expression>)>,
    /// What it writes.
    pub body: Vec<Statement>,
}

/// Something that is done.
#[derive(Debug)]
pub enum Statement {
    /// Text between tags.
    Text(Arc<str>),
    /// `{{ … }}`
    Print(Expression),
    /// `if`, `elif` …, `else`
    If(Vec<(Expression, Vec<Statement>)>, Vec<Statement>),
    /// `for`
    For(Box<For>),
    /// `{% set a, b = … %}`
    Set(Vec<Arc<str>>, Expression),
    /// `{% set namespace.field = … %}`
    SetField(Arc<str>, Arc<str>, Expression),
    /// `{% set name %}…{% endset %}`
    Capture(Arc<str>, Vec<Statement>),
    /// Gives a macro its name.
    Define(Arc<str>, usize),
    /// Leaves the innermost loop.
    Break,
    /// Goes on with the innermost loop's next turn.
    Continue,
}

/// `{% for targets in over if filter %}body{% else %}otherwise{% endfor %}`
#[derive(Debug)]
pub struct For {
    /// One name, or as many as each item has parts.
    pub targets: Vec<Arc<str>>,
    /// What is walked through.
    pub over: Expression,
    /// Which items count.
    pub filter: Option<Expression>,
    /// Done for each item.
    pub body: Vec<Statement>,
    /// Done where there is none.
    pub otherwise: Vec<Statement>,
}

/// Something that has a value.
#[derive(Debug)]
pub struct Expression {
    /// What it is.
    pub kind: Kind,
    /// The longest path down from here.
    pub depth: usize,
}

/// Expressions given to a call.
#[derive(Debug, Default)]
pub struct Arguments {
    /// By place.
    pub plain: Vec<Expression>,
    /// By name.
    pub named: Vec<(Arc<str>, Expression)>,
}

/// What an expression is.
#[derive(Debug)]
pub enum Kind {
    /// A literal.
    Constant(Value),
    /// A variable.
    Name(Arc<str>),
    /// `[…]`, `(…, …)`
    List(Vec<Expression>),
    /// `{…: …}`
    Map(Vec<(Expression, Expression)>),
    /// `a.b`
    Field(Box<Expression>, Arc<str>),
    /// `a[b]`
    Item(Box<Expression>, Box<Expression>),
    /// `a[b:c:d]`
    Slice(Box<Expression>, [Option<Box<Expression>>; 3]),
    /// `name(…)`
    Call(Arc<str>, Arguments),
    /// `a.name(…)`
    Method(Box<Expression>, Arc<str>, Arguments),
    /// `a | name(…)`
    Filter(Box<Expression>, Arc<str>, Arguments),
    /// `a is name(…)`
    Test(Box<Expression>, Arc<str>, Arguments),
    /// `not a`
    Not(Box<Expression>),
    /// `-a`
    Negate(Box<Expression>),
    /// `a … b`
    Binary(Operator, Box<Expression>, Box<Expression>),
    /// `then if when else otherwise`
    Choice(Box<[Expression; 3]>),
}

/// What stands between two expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `or`
    Or,
    /// `and`
    And,
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
    /// `in`
    In,
    /// `~`
    Join,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `//`
    Divide,
    /// `%`
    Remainder,
}
