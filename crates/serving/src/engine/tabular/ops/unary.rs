//! Functions of single elements.

use super::{Attributes, Built, Fault, Inputs, function};
use crate::engine::tabular::inputs::refuse;
use crate::tensor::{Data, Tensor};

/// An operator on floating point, written once for both precisions.
macro_rules! float {
    ($value:ident => $body:expr) => {
        function(|inputs| {
            let (shape, data) = inputs.take(0)?.into_parts();
            let data = match data {
                Data::F32(mut values) => {
                    for $value in &mut values {
                        *$value = {
                            let $value = *$value;
                            $body
                        };
                    }
                    Data::F32(values)
                }
                Data::F64(mut values) => {
                    for $value in &mut values {
                        *$value = {
                            let $value = *$value;
                            $body
                        };
                    }
                    Data::F64(values)
                }
                other => return refuse(&other),
            };
            Tensor::new(shape, data)
        })
    };
}

pub(super) fn build(kind: &str, attributes: &Attributes<'_>) -> Fault<Built> {
    match kind {
        "Relu" => float!(value => if value < 0.0 { 0.0 } else { value }),
        "Sigmoid" => float!(value => 1.0 / (1.0 + (-value).exp())),
        "Tanh" => float!(value => value.tanh()),
        "Exp" => float!(value => value.exp()),
        "Log" => float!(value => value.ln()),
        "Sqrt" => float!(value => value.sqrt()),
        "Reciprocal" => float!(value => 1.0 / value),
        "Floor" => float!(value => value.floor()),
        "Ceil" => float!(value => value.ceil()),
        "Round" => float!(value => value.round_ties_even()),
        "Softplus" => float!(value => value.max(0.0) + (-value.abs()).exp().ln_1p()),
        "Softsign" => float!(value => value / (1.0 + value.abs())),
        "Erf" => function(erf),
        "Neg" => function(|inputs| signed(inputs, |value| -value, i64::wrapping_neg)),
        "Abs" => function(|inputs| signed(inputs, f64::abs, i64::wrapping_abs)),
        "Sign" => function(|inputs| signed(inputs, sign, i64::signum)),
        "LeakyRelu" => {
            let slope = attributes.float("alpha", 0.01)?;
            function(move |inputs| {
                signed(inputs, |value| if value < 0.0 { f64::from(slope) * value } else { value }, |value| value)
            })
        }
        _ => Ok(Built::Unknown),
    }
}

fn sign(value: f64) -> f64 {
    if value == 0.0 || value.is_nan() { value } else { value.signum() }
}

/// A function of numbers that both precisions and integers have.
fn signed(inputs: &mut Inputs<'_>, float: impl Fn(f64) -> f64, int: impl Fn(i64) -> i64) -> Fault<Tensor> {
    let (shape, data) = inputs.take(0)?.into_parts();
    let data = match data {
        Data::F32(values) => Data::F32(values.into_iter().map(|value| float(f64::from(value)) as f32).collect()),
        Data::F64(values) => Data::F64(values.into_iter().map(float).collect()),
        Data::I64(values) => Data::I64(values.into_iter().map(int).collect()),
        Data::I32(values) => Data::I32(values.into_iter().map(|value| int(i64::from(value)) as i32).collect()),
        other => return refuse(&other),
    };
    Tensor::new(shape, data)
}

/// The error function by the series of Abramowitz and Stegun 7.1.5 near zero, and its continued fraction 7.1.14 beyond.
fn error_function(value: f64) -> f64 {
    let magnitude = value.abs();
    if magnitude.is_nan() || magnitude > 6.0 {
        return if value.is_nan() { value } else { value.signum() };
    }
    let scale = 2.0 / std::f64::consts::PI.sqrt() * (-magnitude * magnitude).exp();
    let result = if magnitude < 2.5 {
        let (mut term, mut sum, mut n) = (magnitude, magnitude, 0.0);
        while term > sum * 1e-17 {
            n += 1.0;
            term *= 2.0 * magnitude * magnitude / (2.0 * n + 1.0);
            sum += term;
        }
        scale * sum
    } else {
        let fraction = (1..=60).rev().fold(magnitude, |fraction, n| magnitude + f64::from(n) / 2.0 / fraction);
        1.0 - scale / 2.0 / fraction
    };
    result.copysign(value)
}

fn erf(inputs: &mut Inputs<'_>) -> Fault<Tensor> {
    match inputs.get(0)?.data() {
        Data::F32(_) | Data::F64(_) => signed(inputs, error_function, |value| value),
        other => refuse(other),
    }
}

pub(super) fn not(inputs: &mut Inputs<'_>) -> Fault<Tensor> {
    let (shape, data) = inputs.take(0)?.into_parts();
    let Data::Bool(values) = data else { return refuse(&data) };
    Tensor::new(shape, Data::Bool(values.into_iter().map(|value| !value).collect()))
}

pub(super) fn is_nan(inputs: &mut Inputs<'_>) -> Fault<Tensor> {
    let input = inputs.get(0)?;
    let made = match input.data() {
        Data::F32(values) => values.iter().map(|value| value.is_nan()).collect(),
        Data::F64(values) => values.iter().map(|value| value.is_nan()).collect(),
        other => return refuse(other),
    };
    Tensor::new(input.shape().to_vec(), Data::Bool(made))
}

/// Bounds are attributes until version 11, inputs since.
pub(super) fn clip(attributes: &Attributes<'_>) -> Fault<Built> {
    let low = attributes.float("min", f32::MIN)?;
    let high = attributes.float("max", f32::MAX)?;
    let given = attributes.version < 11;
    function(move |inputs| {
        let (shape, data) = inputs.take(0)?.into_parts();
        macro_rules! clipped {
            ($variant:ident, $values:expr, $low:expr, $high:expr) => {{
                let bound = |index: usize, default| match inputs.optional(index).map(Tensor::data) {
                    None => Ok(default),
                    Some(Data::$variant(values)) if values.len() == 1 => Ok(values[0]),
                    Some(other) => refuse(other),
                };
                let (low, high) = (bound(1, $low)?, bound(2, $high)?);
                let clip = |value| {
                    if value < low {
                        low
                    } else if value > high {
                        high
                    } else {
                        value
                    }
                };
                Data::$variant($values.into_iter().map(clip).collect())
            }};
        }
        let data = match data {
            Data::F32(values) if given => Data::F32(
                values
                    .into_iter()
                    .map(|value| {
                        if value < low {
                            low
                        } else if value > high {
                            high
                        } else {
                            value
                        }
                    })
                    .collect(),
            ),
            Data::F32(values) => clipped!(F32, values, f32::MIN, f32::MAX),
            Data::F64(values) => clipped!(F64, values, f64::MIN, f64::MAX),
            Data::I64(values) => clipped!(I64, values, i64::MIN, i64::MAX),
            Data::I32(values) => clipped!(I32, values, i32::MIN, i32::MAX),
            other => return refuse(&other),
        };
        Tensor::new(shape, data)
    })
}

#[cfg(test)]
mod tests {
    use super::error_function;

    /// Values of NIST's Digital Library of Mathematical Functions, table 7.
    #[test]
    fn error_function_is_right() {
        let known = [
            (0.0, 0.0),
            (0.1, 0.112_462_916_018_284_9),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
        ];
        for (value, wanted) in known.into_iter().chain([(2.0, 0.995_322_265_018_952_7), (3.0, 0.999_977_909_503_001_4)])
        {
            assert!((error_function(value) - wanted).abs() < 1e-15, "{value}");
            assert!((error_function(-value) + wanted).abs() < 1e-15, "-{value}");
        }
        assert!(error_function(f64::NAN).is_nan());
        assert_eq!(error_function(f64::NEG_INFINITY), -1.0);
    }
}
