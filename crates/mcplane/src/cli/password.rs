//! Passwords from people and from scripts.

use std::io::{BufRead, IsTerminal};

use super::failure::Failure;

/// The first line of standard input, or what somebody types without it being shown.
pub(super) fn ask(prompt: &str, from_stdin: bool) -> Result<String, Failure> {
    let password = if from_stdin {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    } else if std::io::stdin().is_terminal() {
        rpassword::prompt_password(format!("{prompt}: "))?
    } else {
        return Err(Failure::usage("there is no terminal to ask for the password on")
            .hint("give it on standard input, with --password-stdin"));
    };
    if password.is_empty() { Err(Failure::usage("the password is empty")) } else { Ok(password) }
}

/// A new password, typed twice.
pub(super) fn choose(prompt: &str, from_stdin: bool) -> Result<String, Failure> {
    let password = ask(prompt, from_stdin)?;
    if !from_stdin && ask("Once more", false)? != password {
        return Err(Failure::usage("the passwords differ"));
    }
    Ok(password)
}
