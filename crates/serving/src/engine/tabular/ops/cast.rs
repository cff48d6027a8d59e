//! From one type to another.

use bytes::Bytes;

use super::{Attributes, Built, Fault, Inputs, Operator, operator};
use crate::engine::tabular::proto;
use crate::tensor::{Data, Datatype, Tensor, bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};

struct Cast(Datatype);

pub(super) fn build(attributes: &Attributes<'_>) -> Fault<Built> {
    if !attributes.has("to") {
        return Err("attribute to is missing".to_owned());
    }
    operator(Cast(proto::datatype(attributes.int("to", 0)?)?))
}

impl Operator for Cast {
    fn run(&self, inputs: &mut Inputs<'_>) -> Fault<Vec<Tensor>> {
        if inputs.get(0)?.datatype() == self.0 {
            return Ok(vec![inputs.take(0)?]);
        }
        let input = inputs.get(0)?;
        inputs.budget.room(input.shape())?;
        Ok(vec![Tensor::new(input.shape().to_vec(), cast(input.data(), self.0)?)?])
    }

    fn makes_doubles(&self) -> bool {
        self.0 == Datatype::Fp64
    }
}

/// Numbers of one type to any other.
macro_rules! numbers {
    ($values:expr, $to:expr, $value:ident => $zero:expr) => {
        match $to {
            Datatype::Bool => Data::Bool($values.map(|$value| $value != $zero).collect()),
            Datatype::Uint8 => Data::U8($values.map(|$value| $value as u8).collect()),
            Datatype::Uint16 => Data::U16($values.map(|$value| $value as u16).collect()),
            Datatype::Uint32 => Data::U32($values.map(|$value| $value as u32).collect()),
            Datatype::Uint64 => Data::U64($values.map(|$value| $value as u64).collect()),
            Datatype::Int8 => Data::I8($values.map(|$value| $value as i8).collect()),
            Datatype::Int16 => Data::I16($values.map(|$value| $value as i16).collect()),
            Datatype::Int32 => Data::I32($values.map(|$value| $value as i32).collect()),
            Datatype::Int64 => Data::I64($values.map(|$value| $value as i64).collect()),
            Datatype::Fp16 => Data::F16($values.map(|$value| f32_to_f16($value as f32)).collect()),
            Datatype::Bf16 => Data::Bf16($values.map(|$value| f32_to_bf16($value as f32)).collect()),
            Datatype::Fp32 => Data::F32($values.map(|$value| $value as f32).collect()),
            Datatype::Fp64 => Data::F64($values.map(|$value| $value as f64).collect()),
            Datatype::Bytes => Data::Bytes($values.map(|$value| Text::text($value)).collect()),
        }
    };
}

/// Elements as another type: floating point loses its fraction, and what is out of range the nearest there is.
pub(crate) fn cast(data: &Data, to: Datatype) -> Fault<Data> {
    Ok(match data {
        Data::Bool(values) => numbers!(values.iter().map(|&value| u8::from(value)), to, value => 0),
        Data::U8(values) => numbers!(values.iter().copied(), to, value => 0),
        Data::U16(values) => numbers!(values.iter().copied(), to, value => 0),
        Data::U32(values) => numbers!(values.iter().copied(), to, value => 0),
        Data::U64(values) => numbers!(values.iter().copied(), to, value => 0),
        Data::I8(values) => numbers!(values.iter().copied(), to, value => 0),
        Data::I16(values) => numbers!(values.iter().copied(), to, value => 0),
        Data::I32(values) => numbers!(values.iter().copied(), to, value => 0),
        Data::I64(values) => numbers!(values.iter().copied(), to, value => 0),
        Data::F16(values) => numbers!(values.iter().map(|&value| f16_to_f32(value)), to, value => 0.0),
        Data::Bf16(values) => numbers!(values.iter().map(|&value| bf16_to_f32(value)), to, value => 0.0),
        Data::F32(values) => numbers!(values.iter().copied(), to, value => 0.0),
        Data::F64(values) => numbers!(values.iter().copied(), to, value => 0.0),
        Data::Bytes(values) => match to {
            Datatype::Bytes => Data::Bytes(values.clone()),
            Datatype::Int64 | Datatype::Int32 => cast(&Data::I64(parsed(values)?), to)?,
            Datatype::Fp32 => Data::F32(parsed(values)?),
            Datatype::Fp64 => Data::F64(parsed(values)?),
            other => return Err(format!("strings do not become {other}")),
        },
    })
}

fn parsed<T: std::str::FromStr>(values: &[Bytes]) -> Fault<Vec<T>> {
    let parse = |value: &Bytes| {
        let text = std::str::from_utf8(value).ok().map(str::trim);
        text.and_then(|text| text.parse().ok())
            .ok_or_else(|| format!("{:?} is no number", String::from_utf8_lossy(value)))
    };
    values.iter().map(parse).collect()
}

/// A number as text.
trait Text {
    fn text(self) -> Bytes;
}

macro_rules! integer_text {
    ($($type:ty)*) => {
        $(impl Text for $type {
            fn text(self) -> Bytes {
                Bytes::from(self.to_string())
            }
        })*
    };
}

integer_text!(u8 u16 u32 u64 i8 i16 i32 i64);

impl Text for f32 {
    fn text(self) -> Bytes {
        Bytes::from(general(f64::from(self), 8))
    }
}

impl Text for f64 {
    fn text(self) -> Bytes {
        Bytes::from(general(self, 17))
    }
}

/// C's `%.*g`, which is how onnxruntime writes numbers.
fn general(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "INF".to_owned() } else { "-INF".to_owned() };
    }
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..digits as i32).contains(&exponent) {
        trim(&format!("{value:.*}", usize::try_from(digits as i32 - 1 - exponent).unwrap_or(0)))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_that_of_c() {
        let known =
            [(1.0, "1"), (0.1, "0.1"), (1e20, "1e+20"), (-2.5e-7, "-2.5e-07"), (123_456.79, "123456.79"), (0.0, "0")];
        for (value, text) in known {
            assert_eq!(general(value, 8), text);
        }
        assert_eq!(general(f64::NEG_INFINITY, 8), "-INF");
    }

    #[test]
    fn numbers_and_text_go_both_ways() {
        let texts = cast(&Data::I64(vec![i64::MIN, 7]), Datatype::Bytes).unwrap();
        assert_eq!(cast(&texts, Datatype::Int64).unwrap(), Data::I64(vec![i64::MIN, 7]));
        assert_eq!(cast(&Data::F32(vec![-1.9, 0.0, f32::NAN]), Datatype::Int64).unwrap(), Data::I64(vec![-1, 0, 0]));
        assert_eq!(cast(&Data::F32(vec![-1.9, 0.0]), Datatype::Bool).unwrap(), Data::Bool(vec![true, false]));
        assert!(cast(&Data::Bytes(vec![Bytes::from("x")]), Datatype::Fp32).unwrap_err().contains("no number"));
    }
}
