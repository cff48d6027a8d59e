//! Names for runs that were given none.

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;

const MOODS: [&str; 48] = [
    "agile", "amber", "ample", "azure", "bold", "brave", "brisk", "bright", "calm", "clever", "coral", "cosmic",
    "crisp", "daring", "deft", "eager", "early", "fair", "fleet", "fond", "gentle", "glad", "golden", "grand", "hardy",
    "honest", "humble", "jolly", "keen", "kind", "lively", "lucid", "merry", "mild", "neat", "noble", "patient",
    "plucky", "proud", "quick", "quiet", "rapid", "serene", "silver", "steady", "sunny", "swift", "witty",
];
const CREATURES: [&str; 48] = [
    "alpaca", "badger", "beaver", "bison", "bobcat", "camel", "condor", "crane", "curlew", "dingo", "dolphin", "egret",
    "falcon", "ferret", "finch", "gecko", "gibbon", "heron", "ibex", "ibis", "jackal", "jay", "kestrel", "kiwi",
    "koala", "lemur", "lynx", "magpie", "marmot", "martin", "merlin", "mole", "newt", "ocelot", "oriole", "osprey",
    "otter", "owl", "panda", "plover", "puffin", "quail", "raven", "seal", "stoat", "swan", "tapir", "wren",
];

/// A mood, a creature and a number: easy to say, rarely the same twice.
pub(crate) fn random() -> String {
    let mut random = rand::rng();
    let mood = MOODS.choose(&mut random).copied().unwrap_or_default();
    let creature = CREATURES.choose(&mut random).copied().unwrap_or_default();
    format!("{mood}-{creature}-{}", random.random_range(0..1000))
}
