//! From tokens to a tree.

use serde_json::Value;

use super::lexer::{Kind, Token, tokens};
use super::{MAX_DEPTH, MAX_LENGTH};
use crate::values::normalized;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Literal(Value),
    Name(Name),
    Member(Box<Expression>, Box<Expression>),
    Call(Function, Box<Expression>),
    Not(Box<Expression>),
    Negative(Box<Expression>),
    Compare(Comparison, Box<Expression>, Box<Expression>),
    All(Vec<Expression>),
    Any(Vec<Expression>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Inputs,
    StringValue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Int,
    Double,
    String,
    Bool,
    Size,
    ParseJson,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

pub(super) fn parse(text: &str) -> Result<Expression, String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("the expression has {} bytes, which is more than the {MAX_LENGTH} allowed", text.len()));
    }
    let mut parser = Parser { tokens: tokens(text)?, next: 0, depth: 0, end: text.len() };
    let expression = parser.any()?;
    match parser.tokens.get(parser.next) {
        None => Ok(expression),
        Some(token) => Err(format!("the expression should end at byte {}", token.at)),
    }
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    end: usize,
}

impl Parser {
    fn any(&mut self) -> Result<Expression, String> {
        let first = self.all()?;
        self.chain(first, "||", Self::all, Expression::Any)
    }

    fn all(&mut self) -> Result<Expression, String> {
        let first = self.comparison()?;
        self.chain(first, "&&", Self::comparison, Expression::All)
    }

    fn chain(
        &mut self,
        first: Expression,
        sign: &str,
        operand: fn(&mut Self) -> Result<Expression, String>,
        join: fn(Vec<Expression>) -> Expression,
    ) -> Result<Expression, String> {
        let mut operands = vec![first];
        while self.take(sign) {
            operands.push(operand(self)?);
        }
        Ok(if operands.len() == 1 { operands.remove(0) } else { join(operands) })
    }

    fn comparison(&mut self) -> Result<Expression, String> {
        let left = self.unary()?;
        let signs = [
            ("==", Comparison::Equal),
            ("!=", Comparison::Unequal),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        match signs.into_iter().find(|(sign, _)| self.take(sign)) {
            Some((_, comparison)) => Ok(Expression::Compare(comparison, Box::new(left), Box::new(self.unary()?))),
            None => Ok(left),
        }
    }

    fn unary(&mut self) -> Result<Expression, String> {
        if self.take("!") {
            return self.nested(|parser| parser.unary().map(|operand| Expression::Not(Box::new(operand))));
        }
        if self.take("-") {
            return self.nested(|parser| parser.unary().map(|operand| Expression::Negative(Box::new(operand))));
        }
        self.postfix()
    }

    fn postfix(&mut self) -> Result<Expression, String> {
        let mut value = self.primary()?;
        for _ in 0..MAX_DEPTH {
            if self.take(".") {
                let Some(Kind::Name(name)) = self.bump() else { return Err(self.expected("a member's name")) };
                value = Expression::Member(Box::new(value), Box::new(Expression::Literal(name.into())));
            } else if self.take("[") {
                let key = self.nested(Self::any)?;
                self.close("]")?;
                value = Expression::Member(Box::new(value), Box::new(key));
            } else {
                return Ok(value);
            }
        }
        Err(format!("more than {MAX_DEPTH} members in a row"))
    }

    fn primary(&mut self) -> Result<Expression, String> {
        if self.take("(") {
            let inner = self.nested(Self::any)?;
            self.close(")")?;
            return Ok(inner);
        }
        match self.bump() {
            Some(Kind::Text(text)) => Ok(Expression::Literal(text.into())),
            Some(Kind::Integer(number)) => Ok(Expression::Literal(number.into())),
            Some(Kind::Float(number)) => Ok(Expression::Literal(normalized(number.into()))),
            Some(Kind::Name(name)) => self.name(&name),
            _ => Err(self.expected("a value")),
        }
    }

    fn name(&mut self, name: &str) -> Result<Expression, String> {
        let function = match name {
            "true" => return Ok(Expression::Literal(true.into())),
            "false" => return Ok(Expression::Literal(false.into())),
            "null" => return Ok(Expression::Literal(Value::Null)),
            "inputs" => return Ok(Expression::Name(Name::Inputs)),
            "string_value" => return Ok(Expression::Name(Name::StringValue)),
            "int" => Function::Int,
            "double" => Function::Double,
            "string" => Function::String,
            "bool" => Function::Bool,
            "size" => Function::Size,
            "parseJson" => Function::ParseJson,
            _ => return Err(self.expected("inputs, string_value or a function of conditions")),
        };
        if !self.take("(") {
            return Err(self.expected("'('"));
        }
        let operand = self.nested(Self::any)?;
        self.close(")")?;
        Ok(Expression::Call(function, Box::new(operand)))
    }

    fn nested(&mut self, inner: impl FnOnce(&mut Self) -> Result<Expression, String>) -> Result<Expression, String> {
        if self.depth >= MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} levels of nesting"));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.tokens.get(self.next), Some(Token { kind: Kind::Sign(next), .. }) if *next == sign);
        self.next += usize::from(found);
        found
    }

    fn bump(&mut self) -> Option<Kind> {
        let kind = self.tokens.get(self.next).map(|token| token.kind.clone());
        self.next += 1;
        kind
    }

    fn close(&mut self, sign: &str) -> Result<(), String> {
        if self.take(sign) { Ok(()) } else { Err(format!("'{sign}' is expected at byte {}", self.here(self.next))) }
    }

    /// An error at the token before, which did not fit.
    fn expected(&self, what: &str) -> String {
        format!("{what} is expected at byte {}", self.here(self.next.saturating_sub(1)))
    }

    fn here(&self, token: usize) -> usize {
        self.tokens.get(token).map_or(self.end, |token| token.at)
    }
}
