//! The beginning of a request or a response, for lists. Of what is sent to and got from chat models, it is the last message.

use serde_json::Value;

/// Longest preview in characters.
const LONGEST: usize = 1000;

/// The preview of a JSON text. `role` is whose message is wanted.
pub(crate) fn preview(text: &str, role: &str) -> String {
    let said = serde_json::from_str(text).ok().and_then(|value: Value| last_message(&value, role).map(str::to_owned));
    let content = said.filter(|said| !said.is_empty()).unwrap_or_else(|| text.to_owned());
    // Databases refuse NUL.
    let content = content.replace('\0', "");
    if content.chars().nth(LONGEST).is_none() {
        return content;
    }
    content.chars().take(LONGEST - 3).chain("...".chars()).collect()
}

fn last_message<'v>(value: &'v Value, role: &str) -> Option<&'v str> {
    let messages = messages(value, 0)?;
    let of_role = messages.iter().rev().find(|message| message["role"] == role);
    text(&of_role.or(messages.last())?["content"])
}

/// The messages in the forms of the APIs that are common.
fn messages(value: &Value, depth: u8) -> Option<Vec<&Value>> {
    let is_message = |item: &&Value| item.get("role").is_some() && item.get("content").is_some();
    let list = |name: &str| {
        let items = value.get(name)?.as_array().filter(|items| !items.is_empty())?;
        Some(items.iter().filter(is_message).collect())
    };
    let choice = || value.get("choices")?.get(0)?.get("message").filter(is_message).map(|message| vec![message]);
    let wrapped = || value.get("request").filter(|_| depth < 8).and_then(|request| messages(request, depth + 1));
    list("messages").or_else(choice).or_else(|| list("input")).or_else(|| list("output")).or_else(wrapped)
}

fn text(content: &Value) -> Option<&str> {
    let Some(parts) = content.as_array() else { return content.as_str() };
    parts.iter().find_map(|part| match part {
        Value::String(text) => Some(text.as_str()),
        part if ["text", "output_text"].iter().any(|kind| part["type"] == *kind) => part["text"].as_str(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_chat_is_its_preview() {
        let chat = r#"{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [{"type": "text", "text": "yo"}]}]}"#;
        assert_eq!(preview(chat, "user"), "hi");
        assert_eq!(preview(chat, "assistant"), "yo");
        assert_eq!(preview(r#"{"choices": [{"message": {"role": "assistant", "content": "c"}}]}"#, "assistant"), "c");
        assert_eq!(preview(r#"{"request": {"input": [{"role": "user", "content": "r"}]}}"#, "user"), "r");
        assert_eq!(preview(r#"{"a": 1}"#, "user"), r#"{"a": 1}"#);
        assert_eq!(preview("no json", "user"), "no json");
        let long = preview(&"ä".repeat(1001), "user");
        assert_eq!((long.chars().count(), long.ends_with("ä...")), (1000, true));
    }
}
