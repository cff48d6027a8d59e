//! Classes by name, and `LabelEncoder`.

use std::collections::HashMap;
use std::hash::Hash;

use bytes::Bytes;
use foldhash::fast::RandomState;

use super::{Attributes, Built, Fault, Inputs, Operator, operator};
use crate::engine::tabular::inputs::refuse;
use crate::tensor::{Data, Tensor};

/// The classes of a classifier.
#[derive(Debug)]
pub(in crate::engine::tabular) enum Labels {
    Ints(Vec<i64>),
    Texts(Vec<Bytes>),
}

impl Labels {
    pub(in crate::engine::tabular) fn read(attributes: &Attributes<'_>, ints: &str) -> Fault<Self> {
        let texts = attributes.texts("classlabels_strings")?;
        if !texts.is_empty() {
            return Ok(Self::Texts(texts));
        }
        match attributes.ints(ints)? {
            [] => Err("it names no classes".to_owned()),
            ints => Ok(Self::Ints(ints.to_vec())),
        }
    }

    pub(in crate::engine::tabular) fn len(&self) -> usize {
        match self {
            Self::Ints(all) => all.len(),
            Self::Texts(all) => all.len(),
        }
    }

    /// The classes of given numbers; a number beyond them is the number itself, as where labels were left out.
    pub(in crate::engine::tabular) fn tensor(&self, picked: &[usize]) -> Fault<Tensor> {
        let data = match self {
            Self::Ints(all) => {
                Data::I64(picked.iter().map(|&one| all.get(one).copied().unwrap_or(one as i64)).collect())
            }
            Self::Texts(all) => {
                let text = |&one: &usize| all.get(one).cloned().unwrap_or_else(|| Bytes::from(one.to_string()));
                Data::Bytes(picked.iter().map(text).collect())
            }
        };
        Tensor::new(vec![picked.len()], data)
    }
}

/// A float as a key: every NaN is the same, and so are both zeros.
fn float_key(value: f32) -> u32 {
    if value.is_nan() {
        f32::NAN.to_bits()
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    }
}

enum Keys {
    Ints(HashMap<i64, usize, RandomState>),
    Texts(HashMap<Bytes, usize, RandomState>),
    Floats(HashMap<u32, usize, RandomState>),
}

/// What keys become; the last value is that of unknown keys.
struct Encoder {
    keys: Keys,
    values: Data,
}

fn index<K: Eq + Hash>(keys: impl Iterator<Item = K>) -> HashMap<K, usize, RandomState> {
    let mut map = HashMap::default();
    for (place, key) in keys.enumerate() {
        map.entry(key).or_insert(place);
    }
    map
}

/// A list of keys or values by whichever attribute gives it.
fn list(attributes: &Attributes<'_>, what: &str) -> Fault<Option<Data>> {
    if let Some(tensor) = attributes.tensor(&format!("{what}_tensor"))? {
        return Ok(Some(tensor.data().clone()));
    }
    let names = [format!("{what}_strings"), format!("{what}_int64s"), format!("{what}_floats")];
    Ok(match names.each_ref().map(|name| attributes.has(name)) {
        [true, ..] => Some(Data::Bytes(attributes.texts(&names[0])?)),
        [_, true, _] => Some(Data::I64(attributes.ints(&names[1])?.to_vec())),
        [.., true] => Some(Data::F32(attributes.floats(&names[2])?.to_vec())),
        _ => None,
    })
}

pub(super) fn encoder(attributes: &Attributes<'_>) -> Fault<Built> {
    if attributes.version < 2 {
        return first_version(attributes);
    }
    let keys = list(attributes, "keys")?.ok_or("it has no keys")?;
    let mut values = list(attributes, "values")?.ok_or("it has no values")?;
    if keys.len() != values.len() {
        return Err(format!("{} keys and {} values do not go together", keys.len(), values.len()));
    }
    let keys = match keys {
        Data::Bytes(keys) => Keys::Texts(index(keys.into_iter())),
        Data::I64(keys) => Keys::Ints(index(keys.into_iter())),
        Data::F32(keys) => Keys::Floats(index(keys.into_iter().map(float_key))),
        other => return refuse(&other),
    };
    let given = attributes.tensor("default_tensor")?.map(Tensor::data);
    match (&mut values, given) {
        (Data::Bytes(all), None) => {
            all.push(Bytes::copy_from_slice(attributes.text("default_string", "_Unused")?.as_bytes()))
        }
        (Data::I64(all), None) => all.push(attributes.int("default_int64", -1)?),
        (Data::F32(all), None) => all.push(attributes.float("default_float", -0.0)?),
        (all, Some(given)) => {
            if given.len() != 1 || !all.append(given, 0..1) {
                return Err("default_tensor must be one value of the type of the values".to_owned());
            }
        }
        (other, None) => return refuse(other),
    }
    operator(Encoder { keys, values })
}

/// Version 1: from text to its place in a list, or back, as the input says.
fn first_version(attributes: &Attributes<'_>) -> Fault<Built> {
    let classes = attributes.texts("classes_strings")?;
    let count = classes.len();
    let mut places: Vec<i64> = (0..count as i64).collect();
    places.push(attributes.int("default_int64", -1)?);
    let forth = Encoder { keys: Keys::Texts(index(classes.iter().cloned())), values: Data::I64(places) };
    let mut texts = classes;
    texts.push(Bytes::copy_from_slice(attributes.text("default_string", "_Unused")?.as_bytes()));
    let back = Encoder { keys: Keys::Ints(index(0..count as i64)), values: Data::Bytes(texts) };
    super::function(move |inputs| match inputs.get(0)?.data() {
        Data::Bytes(_) => forth.encode(inputs),
        _ => back.encode(inputs),
    })
}

impl Encoder {
    fn encode(&self, inputs: &Inputs<'_>) -> Fault<Tensor> {
        let input = inputs.get(0)?;
        inputs.budget.room(input.shape())?;
        let unknown = self.values.len() - 1;
        let place = |found: Option<&usize>| found.copied().unwrap_or(unknown);
        let made = match (&self.keys, input.data()) {
            (Keys::Ints(keys), Data::I64(all)) => self.values.pick(all.iter().map(|key| place(keys.get(key)))),
            (Keys::Texts(keys), Data::Bytes(all)) => self.values.pick(all.iter().map(|key| place(keys.get(key)))),
            (Keys::Floats(keys), Data::F32(all)) => {
                self.values.pick(all.iter().map(|&key| place(keys.get(&float_key(key)))))
            }
            (_, other) => return refuse(other),
        };
        Tensor::new(input.shape().to_vec(), made)
    }
}

impl Operator for Encoder {
    fn run(&self, inputs: &mut Inputs<'_>) -> Fault<Vec<Tensor>> {
        Ok(vec![self.encode(inputs)?])
    }

    fn bytes(&self) -> usize {
        self.values.bytes() + self.values.len() * size_of::<(Bytes, usize)>()
    }
}
