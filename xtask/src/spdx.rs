//! Licence expressions: may this be used under the licences that we accept?

/// Evaluates an SPDX expression (`(MIT OR Apache-2.0) AND Unicode-3.0`, also the old `MIT/Apache-2.0`), where
/// `accepted` decides about single licences (with their exception, as in `Apache-2.0 WITH LLVM-exception`).
/// None when the text is no expression.
pub(crate) fn satisfied(expression: &str, accepted: &dyn Fn(&str) -> bool) -> Option<bool> {
    let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = text.split_whitespace().collect();
    let mut parser = Parser { tokens: &tokens, accepted };
    let value = parser.any()?;
    parser.tokens.is_empty().then_some(value)
}

struct Parser<'a> {
    tokens: &'a [&'a str],
    accepted: &'a dyn Fn(&str) -> bool,
}

impl Parser<'_> {
    fn take(&mut self, word: &str) -> bool {
        let found = self.tokens.first() == Some(&word);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    fn any(&mut self) -> Option<bool> {
        let mut value = self.all()?;
        while self.take("OR") {
            value |= self.all()?;
        }
        Some(value)
    }

    fn all(&mut self) -> Option<bool> {
        let mut value = self.one()?;
        while self.take("AND") {
            value &= self.one()?;
        }
        Some(value)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let value = self.any()?;
            return self.take(")").then_some(value);
        }
        let (first, rest) = self.tokens.split_first()?;
        if matches!(*first, "OR" | "AND" | "WITH" | ")") {
            return None;
        }
        self.tokens = rest;
        if self.take("WITH") {
            let (exception, rest) = self.tokens.split_first()?;
            self.tokens = rest;
            return Some((self.accepted)(&format!("{first} WITH {exception}")));
        }
        Some((self.accepted)(first))
    }
}

#[cfg(test)]
mod tests {
    use super::satisfied;

    #[test]
    fn expressions_bind_as_spdx_says() {
        let accepted = |licence: &str| matches!(licence, "MIT" | "ISC" | "Apache-2.0 WITH LLVM-exception");
        let cases = [
            ("MIT", Some(true)),
            ("GPL-3.0-only", Some(false)),
            ("GPL-2.0-only OR MIT", Some(true)),
            ("GPL-2.0-only AND MIT", Some(false)),
            ("GPL-2.0-only/MIT", Some(true)),
            ("ISC AND (MIT OR OpenSSL)", Some(true)),
            ("MIT OR ISC AND OpenSSL", Some(true)),
            ("(MIT OR ISC) AND OpenSSL", Some(false)),
            ("Apache-2.0 WITH LLVM-exception", Some(true)),
            ("Apache-2.0", Some(false)),
            ("(MIT", None),
            ("MIT OR", None),
            ("MIT ISC", None),
            ("", None),
        ];
        for (expression, expected) in cases {
            assert_eq!(satisfied(expression, &accepted), expected, "{expression}");
        }
    }
}
