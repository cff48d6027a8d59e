use std::sync::Arc;

use super::*;
use crate::values::normalized;
use proptest::prelude::*;
use serde_json::json;

fn inputs() -> Parameters {
    let values = json!({
        "n": 5.0, "f": 2.5, "s": "it", "t": true, "l": [1, 2], "d": {"k": "v"}, "null": null, "digits": "7",
        "pipelinechannel--a-b-Output": "heads",
    });
    let Value::Object(values) = normalized(values) else { unreachable!() };
    values.into_iter().map(|(name, value)| (name, Arc::new(value))).collect()
}

fn evaluate(text: &str) -> Result<bool, String> {
    Condition::parse(text).unwrap().evaluate(&inputs())
}

#[test]
fn what_the_sdk_emits_is_understood() {
    for (text, expected) in [
        ("inputs.parameter_values['pipelinechannel--a-b-Output'] == 'heads'", true),
        ("!(inputs.parameter_values['pipelinechannel--a-b-Output'] == 'heads')", false),
        ("int(inputs.parameter_values['n']) > 3", true),
        ("int(inputs.parameter_values['n']) >= 5 && int(inputs.parameter_values['n']) <= 5", true),
        ("inputs.parameter_values['f'] == 2.5", true),
        ("inputs.parameter_values['f'] > double(2)", true),
        ("inputs.parameter_values['t'] == true", true),
        ("inputs.parameter_values['t'] != true", false),
        ("!(inputs.parameter_values['t'] == true) && inputs.parameter_values['s'] == 'it'", false),
        ("int(inputs.parameter_values['n']) == int(inputs.parameter_values['digits'])", false),
        ("inputs.parameter_values['s'] < 'z'", true),
        ("int(inputs.parameter_values['n']) > -1", true),
    ] {
        assert_eq!(evaluate(text), Ok(expected), "{text}");
    }
}

#[test]
fn the_rest_of_the_subset_follows_cel() {
    for (text, expected) in [
        ("inputs.parameter_values[\"n\"] == 5.0", true),
        ("inputs.parameter_values.n == 5", true),
        ("inputs.parameter_values['n'] == '5'", false),
        ("inputs.parameter_values['n'] != '5'", true),
        ("inputs.parameter_values['null'] == null", true),
        ("inputs.parameter_values['missing'] == 1 || true", true),
        ("false && inputs.parameter_values['missing'] == 1", false),
        ("inputs.parameter_values['missing'] == 1 && false", false),
        ("size(inputs.parameter_values['l']) == 2", true),
        ("inputs.parameter_values['l'][1] == 2", true),
        ("inputs.parameter_values['d']['k'] == 'v'", true),
        ("parseJson('{\"a\": [1]}').a[0] == 1", true),
        ("'a\\'b\\u0041\\n' == \"a'bA\\n\"", true),
        ("int(inputs.parameter_values['f']) == 2 && int(-inputs.parameter_values['f']) == -2", true),
        ("string(inputs.parameter_values['n']) == '5'", true),
        ("!!true", true),
        ("(1 < 2) == true", true),
        ("1e3 == 1000", true),
    ] {
        assert_eq!(evaluate(text), Ok(expected), "{text}");
    }
}

#[test]
fn errors_say_what_is_wrong() {
    for (text, reason) in [
        ("inputs.parameter_values['missing'] == 1", "there is no input \"missing\""),
        ("inputs.parameter_values['s'] > 1", "a STRING and a NUMBER_INTEGER can't be ordered"),
        ("int(inputs.parameter_values['s']) > 1", "int() does not take \"it\""),
        ("inputs.parameter_values['n']", "not a boolean"),
        ("inputs.artifacts['n'] == 1", "there is no \"artifacts\""),
        ("!inputs.parameter_values['n']", "is not a boolean"),
        ("parseJson('{') == 1", "parseJson() does not take"),
        ("string_value == 'a'", "there is no string_value here"),
        ("inputs == 1", "a whole map"),
    ] {
        let error = evaluate(text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
    for (text, reason) in [
        ("inputs.parameter_values['x'] == 'it's'", "not closed"),
        ("inputs.parameter_values['x'] == 'a' b", "should end at byte 36"),
        ("'int(inputs.parameter_values['x'])' == 'a'", "should end at byte"),
        ("inputs.parameter_values['x'] == 'a\\d'", "begins no escape"),
        ("", "a value is expected at byte 0"),
        ("1 ==", "a value is expected at byte 4"),
        ("(1 == 1", "')' is expected at byte 7"),
        ("env == 1", "inputs, string_value or a function"),
        ("1 ? 2 : 3", "'?' is not expected at byte 2"),
        ("99999999999999999999 > 1", "a number can't be read"),
    ] {
        let error = Condition::parse(text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
    let deep = |levels: usize| format!("{}true{}", "(".repeat(levels), ")".repeat(levels));
    assert!(Condition::parse(&deep(MAX_DEPTH)).is_ok());
    for text in [deep(MAX_DEPTH + 1), "!".repeat(60_000), format!("inputs{}", ".a".repeat(10_000))] {
        assert!(Condition::parse(&text).is_err());
    }
    assert!(Condition::parse(&" ".repeat(MAX_LENGTH + 1)).unwrap_err().contains("more than"));
}

#[test]
fn selectors_pick_from_values_and_from_their_text() {
    let selector = Selector::parse("parseJson(string_value)[\"a\"]").unwrap();
    assert_eq!(selector.apply(&json!({"a": [1]})), Ok(json!([1])));
    assert_eq!(selector.apply(&json!("{\"a\": 2.0}")), Ok(json!(2)));
    assert!(selector.apply(&json!("plain")).unwrap_err().contains("parseJson"));
    assert!(selector.apply(&json!({"b": 1})).unwrap_err().contains("there is no \"a\""));
    assert_eq!(Selector::parse("string_value").unwrap().apply(&json!(2)), Ok(json!("2")));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
        let _ = Condition::parse(&text).map(|condition| condition.evaluate(&inputs()));
    }

    #[test]
    fn near_expressions_are_read_or_refused(
        parts in prop::collection::vec(prop::sample::select(vec![
            "inputs", ".", "parameter_values", "['n']", "['s']", "==", "<", "&&", "||", "!", "(", ")", "int", "double(",
            "'a'", "\"", "5", "2.5", "true", "parseJson(", "string_value", "-", "[", "]", "e", "é",
        ]), 0..24)
    ) {
        let text = parts.concat();
        let _ = Condition::parse(&text).map(|condition| condition.evaluate(&inputs()));
        let _ = Selector::parse(&text).map(|selector| selector.apply(&json!({"a": 1})));
    }

    #[test]
    fn integers_compare_as_integers(left in any::<i32>(), right in any::<i32>()) {
        let parameters: Parameters =
            [("l".to_owned(), Arc::new(json!(left))), ("r".to_owned(), Arc::new(json!(right)))].into();
        let text = "int(inputs.parameter_values['l']) <= int(inputs.parameter_values['r'])";
        prop_assert_eq!(Condition::parse(text).unwrap().evaluate(&parameters), Ok(left <= right));
        let against = format!("inputs.parameter_values['l'] > {right}");
        prop_assert_eq!(Condition::parse(&against).unwrap().evaluate(&parameters), Ok(left > right));
    }
}
