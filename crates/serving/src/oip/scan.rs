//! The elements of `data`: flat, or nested as the shape says.

use bytes::Bytes;

use super::Mistake;
use crate::tensor::{Data, Datatype, MAX_RANK, Tensor, elements, f32_to_bf16, f32_to_f16};

/// An element as it stands in the text.
#[derive(Debug, Clone, Copy)]
enum Token<'a> {
    Open,
    Close,
    Scalar(&'a str),
}

/// Reads tokens of text that is known to be valid JSON.
struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r' | b',')) {
            self.at += 1;
        }
        let start = self.at;
        self.at += 1;
        match *bytes.get(start)? {
            b'[' => return Some(Token::Open),
            b']' => return Some(Token::Close),
            b'"' => {
                while let Some(&byte) = bytes.get(self.at) {
                    self.at += if byte == b'\\' { 2 } else { 1 };
                    if byte == b'"' {
                        break;
                    }
                }
            }
            _ => {
                while !matches!(bytes.get(self.at), None | Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b']')) {
                    self.at += 1;
                }
            }
        }
        Some(Token::Scalar(self.text.get(start..self.at)?))
    }
}

/// Makes the tensor of an input.
pub(super) fn tensor(name: &str, datatype: Datatype, shape: Vec<usize>, text: &str) -> Result<Tensor, Mistake> {
    let of_input = |message: String| format!("input {name:?}: {message}");
    let Some(count) = elements(&shape) else {
        return Err(of_input(format!("shape {shape:?} is larger than what is answered")));
    };
    // Every element takes a character and a comma at least: memory follows the body, whatever the shape says.
    let mut data = Data::with_capacity(datatype, count.min(text.len() / 2 + 1));
    fill(&mut data, &shape, count, text).map_err(of_input)?;
    Tensor::new(shape, data).map_err(of_input)
}

fn fill(data: &mut Data, shape: &[usize], count: usize, text: &str) -> Result<(), Mistake> {
    let mut tokens = Tokens { text, at: 0 };
    let Some(Token::Open) = tokens.next() else { return Err("data must be a list".to_owned()) };
    // How many elements each open list has so far, outermost first.
    let (mut open, mut nested, mut started) = (vec![0_usize], false, false);
    macro_rules! fill {
        ($values:expr, $read:expr) => {
            while let Some(token) = tokens.next() {
                match token {
                    Token::Open => {
                        if !started {
                            nested = true;
                        }
                        if !nested || open.len() == shape.len().min(MAX_RANK) {
                            return Err(irregular(shape));
                        }
                        if let Some(outer) = open.last_mut() {
                            *outer += 1;
                        }
                        open.push(0);
                    }
                    Token::Close => {
                        let length = open.pop().unwrap_or_default();
                        if nested && shape.get(open.len()) != Some(&length) {
                            return Err(irregular(shape));
                        }
                    }
                    Token::Scalar(text) => {
                        started = true;
                        if nested && open.len() != shape.len() {
                            return Err(irregular(shape));
                        }
                        if $values.len() == count {
                            return Err(format!("data has more than the {count} elements of shape {shape:?}"));
                        }
                        $values.push($read(text)?);
                        if let Some(list) = open.last_mut() {
                            *list += 1;
                        }
                    }
                }
            }
        };
    }
    match data {
        Data::Bool(values) => fill!(values, boolean),
        Data::U8(values) => fill!(values, |text| integer(text, "UINT8")),
        Data::U16(values) => fill!(values, |text| integer(text, "UINT16")),
        Data::U32(values) => fill!(values, |text| integer(text, "UINT32")),
        Data::U64(values) => fill!(values, |text| integer(text, "UINT64")),
        Data::I8(values) => fill!(values, |text| integer(text, "INT8")),
        Data::I16(values) => fill!(values, |text| integer(text, "INT16")),
        Data::I32(values) => fill!(values, |text| integer(text, "INT32")),
        Data::I64(values) => fill!(values, |text| integer(text, "INT64")),
        Data::F16(values) => fill!(values, |text| half(text, "FP16", f32_to_f16, 0x7c00)),
        Data::Bf16(values) => fill!(values, |text| half(text, "BF16", f32_to_bf16, 0x7f80)),
        Data::F32(values) => fill!(values, single),
        Data::F64(values) => fill!(values, double),
        Data::Bytes(values) => fill!(values, bytes),
    }
    Ok(())
}

fn irregular(shape: &[usize]) -> Mistake {
    format!("data must be a flat list, or lists nested as shape {shape:?} says")
}

/// A token in a message; never more of it than helps.
fn shown(token: &str) -> String {
    let start: String = token.chars().take(40).collect();
    if start.len() < token.len() { format!("{start}…") } else { start }
}

fn boolean(token: &str) -> Result<bool, Mistake> {
    match token {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(format!("{} is no BOOL", shown(other))),
    }
}

fn integer<T: std::str::FromStr + TryFrom<i64>>(token: &str, datatype: &str) -> Result<T, Mistake> {
    if let Ok(value) = token.parse() {
        return Ok(value);
    }
    // Not all languages tell 1 from 1.0 when they write JSON; what is whole and exact is meant as an integer.
    let whole =
        token.parse::<f64>().ok().filter(|value| value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0);
    let value = whole.filter(|_| token.contains(['.', 'e', 'E'])).and_then(|value| T::try_from(value as i64).ok());
    value.ok_or_else(|| format!("{} is no {datatype}", shown(token)))
}

/// What is not finite, by name.
fn named(token: &str) -> Option<f32> {
    match token {
        "null" | "\"NaN\"" => Some(f32::NAN),
        "\"Infinity\"" => Some(f32::INFINITY),
        "\"-Infinity\"" => Some(f32::NEG_INFINITY),
        _ => None,
    }
}

/// Rust's parser reads words such as `inf` as numbers; JSON does not have them, and strings begin with a quote.
fn single(token: &str) -> Result<f32, Mistake> {
    match token.parse::<f32>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(format!("{} is out of the range of FP32", shown(token))),
        Err(_) => named(token).ok_or_else(|| format!("{} is no FP32", shown(token))),
    }
}

fn double(token: &str) -> Result<f64, Mistake> {
    match token.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(format!("{} is out of the range of FP64", shown(token))),
        Err(_) => named(token).map(f64::from).ok_or_else(|| format!("{} is no FP64", shown(token))),
    }
}

fn half(token: &str, datatype: &str, narrow: fn(f32) -> u16, infinite: u16) -> Result<u16, Mistake> {
    if let Some(value) = named(token) {
        return Ok(narrow(value));
    }
    let value: f32 = token.parse().map_err(|_| format!("{} is no {datatype}", shown(token)))?;
    let bits = narrow(value);
    if bits & 0x7fff == infinite {
        Err(format!("{} is out of the range of {datatype}", shown(token)))
    } else {
        Ok(bits)
    }
}

fn bytes(token: &str) -> Result<Bytes, Mistake> {
    let plain = token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let plain = plain.ok_or_else(|| format!("{} is no BYTES: elements are strings", shown(token)))?;
    if !plain.contains('\\') {
        return Ok(Bytes::copy_from_slice(plain.as_bytes()));
    }
    let text: String =
        serde_json::from_str(token).map_err(|error| format!("{} is no string: {error}", shown(token)))?;
    Ok(Bytes::from(text))
}
