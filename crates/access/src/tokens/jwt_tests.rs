use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = 1_700_000_000_000;
const NOW_S: i64 = NOW / 1000;

fn realm() -> Realm {
    Realm { issuer: "https://mcplane.example".into(), audiences: vec!["mcplane".into(), "mcplane-dev".into()] }
}

fn ann() -> LocalUser {
    LocalUser { name: "ann".into(), uid: 1001, role: "admin".into() }
}

fn bot(kind: BoundKind) -> ServiceAccount {
    let bound = BoundObject { kind, name: "o".into(), uid: "o-uid".into() };
    ServiceAccount { namespace: "a".into(), name: "bot".into(), uid: "u".into(), bound: Some(bound) }
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token of these very parts with a right HS256 signature of the ring's key.
fn signed(ring: &KeyRing, header: &str, payload: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let key = EncodingKey::from_secret(ring.signing().unwrap().secret());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

fn header(ring: &KeyRing) -> Value {
    json!({"alg": "HS256", "typ": "JWT", "kid": ring.signing().unwrap().id()})
}

fn claims() -> Value {
    json!({
        "iss": "https://mcplane.example", "aud": "mcplane", "sub": "ann", "jti": "t1",
        "iat": NOW_S, "exp": NOW_S + 7200, "uid": 1001, "role": "admin",
    })
}

/// The verdict on a well-signed token whose claims are the usual ones with `changes`; null takes a claim away.
fn with_claims(changes: Value) -> Result<Identity, TokenError> {
    let ring = KeyRing::generate(NOW);
    let mut all = claims();
    for (name, value) in changes.as_object().unwrap() {
        all[name] = value.clone();
    }
    all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    verify(&ring, &realm(), &signed(&ring, &header(&ring).to_string(), &all.to_string()), NOW)
}

fn with_header(changes: Value) -> Result<Identity, TokenError> {
    let ring = KeyRing::generate(NOW);
    let mut all = header(&ring);
    for (name, value) in changes.as_object().unwrap() {
        all[name] = value.clone();
    }
    all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    verify(&ring, &realm(), &signed(&ring, &all.to_string(), &claims().to_string()), NOW)
}

#[test]
fn a_users_token_has_the_promised_claims() {
    let ring = KeyRing::generate(NOW);
    let issued = issue_user(&ring, &realm(), &ann(), USER_TOKEN_LIFETIME_MS, NOW + 999).unwrap();
    assert_eq!(issued.expires, NOW + 2 * 60 * 60 * 1000);
    let payload: Value = decode(issued.token.split('.').nth(1).unwrap(), "").unwrap();
    let expected = json!({
        "uid": 1001, "role": "admin", "exp": NOW_S + 7200, "iss": "https://mcplane.example", "aud": ["mcplane"],
        "iat": NOW_S, "jti": issued.token_id, "sub": "ann",
    });
    assert_eq!(payload, expected);
    let identity = verify(&ring, &realm(), &issued.token, NOW).unwrap();
    assert_eq!(identity, Identity::User { user: ann(), token_id: issued.token_id.clone() });
    assert!(!format!("{issued:?}").contains(&issued.token));
}

#[test]
fn a_service_accounts_token_is_bound() {
    let ring = KeyRing::generate(NOW);
    for kind in [BoundKind::Pod, BoundKind::Secret, BoundKind::Node] {
        let issued = issue_service_account(&ring, &realm(), &bot(kind), &[], 3_600_000, NOW).unwrap();
        assert_eq!(issued.expires, NOW + 3_600_000);
        let identity = verify(&ring, &realm(), &issued.token, NOW).unwrap();
        assert_eq!(identity, Identity::ServiceAccount { account: bot(kind), token_id: issued.token_id });
    }
    let issued = issue_service_account(&ring, &realm(), &bot(BoundKind::Pod), &[], i64::MAX, NOW).unwrap();
    assert_eq!(issued.expires, NOW + MAX_TOKEN_LIFETIME_MS);
    let payload: Value = decode(issued.token.split('.').nth(1).unwrap(), "").unwrap();
    let bound = json!({
        "namespace": "a", "serviceaccount": {"name": "bot", "uid": "u"}, "pod": {"name": "o", "uid": "o-uid"},
    });
    assert_eq!((&payload["kubernetes.io"], &payload["sub"]), (&bound, &json!("system:serviceaccount:a:bot")));
    let elsewhere =
        issue_service_account(&ring, &realm(), &bot(BoundKind::Pod), &["vault".into()], 3_600_000, NOW).unwrap();
    assert_eq!(verify(&ring, &realm(), &elsewhere.token, NOW), Err(TokenError::WrongAudience));
}

#[test]
fn nobody_gets_a_token_that_would_be_refused() {
    let ring = KeyRing::generate(NOW);
    for user in [
        LocalUser { name: "system:masters".into(), ..ann() },
        LocalUser { name: String::new(), ..ann() },
        LocalUser { role: String::new(), ..ann() },
    ] {
        assert_eq!(issue_user(&ring, &realm(), &user, USER_TOKEN_LIFETIME_MS, NOW).unwrap_err().http_status(), 400);
    }
    let account = ServiceAccount { name: "a:b".into(), ..bot(BoundKind::Pod) };
    assert!(issue_service_account(&ring, &realm(), &account, &[], 3_600_000, NOW).is_err());
    assert!(issue_service_account(&ring, &realm(), &bot(BoundKind::Pod), &[], 0, NOW).is_err());
    let long = vec!["x".repeat(MOST_TOKEN_BYTES)];
    assert!(issue_service_account(&ring, &realm(), &bot(BoundKind::Pod), &long, 3_600_000, NOW).is_err());
}

#[test]
fn the_algorithm_is_the_keys() {
    assert!(with_header(json!({})).is_ok());
    for alg in ["none", "None", "NONE", "", "hs256", "HS384", "HS512", "RS256", "ES256", "PS256", "EdDSA"] {
        assert_eq!(with_header(json!({"alg": alg})), Err(TokenError::WrongAlgorithm), "{alg}");
    }
    for odd in [json!(null), json!(["HS256"]), json!({"a": 1}), json!(256)] {
        assert!(matches!(with_header(json!({"alg": odd})), Err(TokenError::Malformed(_))), "{odd}");
    }
}

#[test]
fn a_token_without_signature_or_with_anothers_is_refused() {
    let ring = KeyRing::generate(NOW);
    let token = issue_user(&ring, &realm(), &ann(), USER_TOKEN_LIFETIME_MS, NOW).unwrap().token;
    let (message, signature) = token.rsplit_once('.').unwrap();
    let check = |token: &str| verify(&ring, &realm(), token, NOW);
    assert_eq!(check(&format!("{message}.")), Err(TokenError::WrongSignature));
    assert!(matches!(check(message), Err(TokenError::Malformed(_))));
    assert!(matches!(check(&format!("{token}.{signature}")), Err(TokenError::Malformed(_))));
    let none = format!("{}.{}.", encode(&json!({"alg": "none"})), encode(&claims()));
    assert!(check(&none).is_err());
    // A signature of a key whose id the forger knows, but not its secret.
    let forger = KeyRing::generate(NOW);
    let forged = signed(&forger, &header(&ring).to_string(), &claims().to_string());
    assert_eq!(check(&forged), Err(TokenError::WrongSignature));
    // HMAC over public material, as if the verifier took a public key or an empty string for the secret.
    for guess in ["", "-----BEGIN PUBLIC KEY-----", ring.signing().unwrap().id()] {
        let key = EncodingKey::from_secret(guess.as_bytes());
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        assert_eq!(check(&format!("{message}.{signature}")), Err(TokenError::WrongSignature));
    }
}

#[test]
fn key_ids_are_looked_up_and_nothing_else() {
    for kid in ["", "../../../../dev/null", "/etc/passwd", "' OR 1=1 --", "\0", "no-such-key"] {
        assert_eq!(with_header(json!({"kid": kid})), Err(TokenError::UnknownKey), "{kid}");
    }
    assert_eq!(with_header(json!({"kid": "k".repeat(8000)})), Err(TokenError::UnknownKey));
    let known = KeyRing::generate(NOW);
    let id = known.signing().unwrap().id();
    for odd in [json!(null), json!([id]), json!({"id": id}), json!(1), json!(true)] {
        assert!(matches!(with_header(json!({"kid": odd})), Err(TokenError::Malformed(_))), "{odd}");
    }
}

#[test]
fn headers_with_more_than_ours_are_refused() {
    for extra in [
        json!({"crit": ["exp"]}),
        json!({"jku": "https://evil.example/keys"}),
        json!({"jwk": {"kty": "oct", "k": "AAAA"}}),
        json!({"x5u": "https://evil.example/cert"}),
        json!({"zip": "DEF"}),
        json!({"typ": "at+jwt"}),
    ] {
        assert!(matches!(with_header(extra.clone()), Err(TokenError::Malformed(_))), "{extra}");
    }
}

#[test]
fn things_said_twice_are_refused() {
    let ring = KeyRing::generate(NOW);
    let check = |header: &str, payload: &str| verify(&ring, &realm(), &signed(&ring, header, payload), NOW);
    let (header, payload) = (header(&ring).to_string(), claims().to_string());
    assert!(check(&header, &payload).is_ok());
    let twice = |text: &str, more: &str| text.replacen('{', &format!("{{{more},"), 1);
    for more in [r#""alg":"none""#, r#""alg":"HS256""#, r#""kid":"x""#] {
        assert!(matches!(check(&twice(&header, more), &payload), Err(TokenError::Malformed(_))), "{more}");
    }
    for more in [r#""role":"admin""#, r#""exp":9999999999"#, r#""sub":"root""#, r#""aud":"mcplane""#, r#""uid":1"#] {
        assert!(matches!(check(&header, &twice(&payload, more)), Err(TokenError::Malformed(_))), "{more}");
    }
}

#[test]
fn time_decides() {
    let ring = KeyRing::generate(NOW);
    let token = issue_user(&ring, &realm(), &ann(), USER_TOKEN_LIFETIME_MS, NOW).unwrap().token;
    let at = |now| verify(&ring, &realm(), &token, now);
    assert!(at(NOW + USER_TOKEN_LIFETIME_MS - 1).is_ok());
    assert_eq!(at(NOW + USER_TOKEN_LIFETIME_MS), Err(TokenError::Expired));
    assert!(at(NOW - 60_000).is_ok());
    assert_eq!(at(NOW - 61_000), Err(TokenError::NotYetValid));
    assert_eq!(with_claims(json!({"exp": NOW_S})), Err(TokenError::Expired));
    assert_eq!(with_claims(json!({"exp": i64::MIN})), Err(TokenError::Expired));
    assert_eq!(with_claims(json!({"nbf": NOW_S + 1})), Err(TokenError::NotYetValid));
    assert!(with_claims(json!({"nbf": NOW_S})).is_ok());
    for odd in [json!("9999999999"), json!(1e300), json!([1]), json!({})] {
        assert!(matches!(with_claims(json!({"exp": odd})), Err(TokenError::Malformed(_))), "{odd}");
    }
    assert_eq!(at(i64::MAX), Err(TokenError::Expired));
    assert_eq!(at(i64::MIN), Err(TokenError::NotYetValid));
}

#[test]
fn issuer_and_audience_decide() {
    assert_eq!(with_claims(json!({"iss": "https://evil.example"})), Err(TokenError::WrongIssuer));
    assert_eq!(with_claims(json!({"aud": "other"})), Err(TokenError::WrongAudience));
    assert_eq!(with_claims(json!({"aud": []})), Err(TokenError::WrongAudience));
    assert!(with_claims(json!({"aud": ["other", "mcplane-dev"]})).is_ok());
    assert!(matches!(with_claims(json!({"aud": [["mcplane"]]})), Err(TokenError::Malformed(_))));
    assert!(matches!(with_claims(json!({"iss": ["https://mcplane.example"]})), Err(TokenError::Malformed(_))));
}

#[test]
fn every_claim_is_needed() {
    for name in ["iss", "aud", "sub", "exp", "iat", "jti", "uid", "role"] {
        assert_eq!(with_claims(json!({ name: null })), Err(TokenError::MissingClaim(name)));
    }
}

#[test]
fn subjects_cannot_be_confused() {
    let account = |sub: &str, kubernetes: Value| {
        with_claims(json!({"uid": null, "role": null, "sub": sub, "kubernetes.io": kubernetes}))
    };
    let bot = json!({"namespace": "a", "serviceaccount": {"name": "bot", "uid": "u"}});
    assert!(account("system:serviceaccount:a:bot", bot.clone()).is_ok());
    assert_eq!(account("system:serviceaccount:b:bot", bot.clone()), Err(TokenError::WrongSubject));
    assert_eq!(account("ann", bot.clone()), Err(TokenError::WrongSubject));
    let colon = json!({"namespace": "a", "serviceaccount": {"name": "b:c", "uid": "u"}});
    assert_eq!(account("system:serviceaccount:a:b:c", colon), Err(TokenError::WrongSubject));
    for incomplete in [
        json!({}),
        json!({"namespace": "a"}),
        json!({"namespace": "a", "serviceaccount": {"name": "bot"}}),
        json!({"serviceaccount": {"name": "bot", "uid": "u"}}),
        json!({"namespace": "a", "serviceaccount": {"name": "bot", "uid": "u"}, "pod": {"name": "p"}}),
    ] {
        let verdict = account("system:serviceaccount:a:bot", incomplete);
        assert_eq!(verdict, Err(TokenError::MissingClaim("kubernetes.io")));
    }
    let one = json!({"name": "x", "uid": "y"});
    let both = json!({"namespace": "a", "serviceaccount": {"name": "bot", "uid": "u"}, "pod": one, "node": one});
    assert!(matches!(account("system:serviceaccount:a:bot", both), Err(TokenError::Malformed(_))));
    assert!(matches!(with_claims(json!({"kubernetes.io": bot})), Err(TokenError::Malformed(_))));
    assert_eq!(with_claims(json!({"sub": "system:serviceaccount:a:bot"})), Err(TokenError::WrongSubject));
    assert_eq!(with_claims(json!({"sub": "system:masters"})), Err(TokenError::WrongSubject));
    assert_eq!(with_claims(json!({"sub": ""})), Err(TokenError::WrongSubject));
    assert_eq!(with_claims(json!({"role": ""})), Err(TokenError::WrongSubject));
}

#[test]
fn size_and_depth_are_bounded() {
    let ring = KeyRing::generate(NOW);
    let long = "a".repeat(MOST_TOKEN_BYTES + 1);
    assert_eq!(verify(&ring, &realm(), &long, NOW), Err(TokenError::TooLong));
    assert_eq!(with_claims(json!({"padding": "x".repeat(MOST_TOKEN_BYTES)})), Err(TokenError::TooLong));
    let deep = format!("{}1{}", "[".repeat(2000), "]".repeat(2000));
    let bomb = |claim: &str| signed(&ring, &header(&ring).to_string(), &format!(r#"{{"{claim}":{deep}}}"#));
    assert_eq!(verify(&ring, &realm(), &bomb("unknown"), NOW), Err(TokenError::MissingClaim("iss")));
    for claim in ["aud", "iss", "kubernetes.io"] {
        assert!(matches!(verify(&ring, &realm(), &bomb(claim), NOW), Err(TokenError::Malformed(_))), "{claim}");
        assert!(claimed_issuer(&bomb(claim)).is_err());
    }
}

#[test]
fn keys_past_their_time_verify_nothing() {
    let ring = KeyRing::generate(NOW);
    let token = issue_service_account(&ring, &realm(), &bot(BoundKind::Pod), &[], i64::MAX, NOW).unwrap().token;
    let rotated = ring.rotated(NOW);
    assert!(verify(&rotated, &realm(), &token, NOW + MAX_TOKEN_LIFETIME_MS - 1).is_ok());
    assert_eq!(verify(&rotated, &realm(), &token, NOW + MAX_TOKEN_LIFETIME_MS), Err(TokenError::UnknownKey));
}

#[test]
fn refusals_become_401() {
    let error = Error::from(TokenError::Expired);
    assert_eq!((error.http_status(), error.to_string().as_str()), (401, "the token has expired"));
}

#[test]
fn no_single_character_can_change() {
    let ring = KeyRing::generate(NOW);
    let token = issue_user(&ring, &realm(), &ann(), USER_TOKEN_LIFETIME_MS, NOW).unwrap().token;
    for at in 0..token.len() {
        for other in "ABIJQRZabcgwxyz0189-_.=+/ \n".chars().filter(|&c| !token[at..].starts_with(c)) {
            let mutated = format!("{}{other}{}", &token[..at], &token[at + 1..]);
            assert!(verify(&ring, &realm(), &mutated, NOW).is_err(), "{other:?} at {at}");
        }
        let shortened = format!("{}{}", &token[..at], &token[at + 1..]);
        assert!(verify(&ring, &realm(), &shortened, NOW).is_err(), "without {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn no_mutation_of_a_character_passes(at in any::<proptest::sample::Index>(), other in any::<char>()) {
        let ring = KeyRing::generate(NOW);
        let token = issue_user(&ring, &realm(), &ann(), USER_TOKEN_LIFETIME_MS, NOW).unwrap().token;
        let at = at.index(token.len());
        prop_assume!(!token[at..].starts_with(other));
        let mutated = format!("{}{other}{}", &token[..at], &token[at + 1..]);
        prop_assert!(verify(&ring, &realm(), &mutated, NOW).is_err());
    }

    #[test]
    fn arbitrary_text_never_panics(text in ".{0,200}", a in ".{0,80}", b in ".{0,80}", now in any::<i64>()) {
        let ring = KeyRing::generate(NOW);
        let shaped = signed(&ring, &a, &b);
        let known = signed(&ring, &header(&ring).to_string(), &b);
        for token in [text.clone(), format!("{text}.{a}.{b}"), shaped, known] {
            prop_assert!(verify(&ring, &realm(), &token, now).is_err());
            let _ = claimed_issuer(&token);
        }
    }

    #[test]
    fn arbitrary_claims_never_panic(
        exp in any::<f64>(), iat in any::<i64>(), nbf in any::<i64>(), sub in ".{0,40}", now in any::<i64>(),
    ) {
        let ring = KeyRing::generate(NOW);
        let mut all = claims();
        all["exp"] = exp.into();
        all["iat"] = iat.into();
        all["nbf"] = nbf.into();
        all["sub"] = sub.into();
        let token = signed(&ring, &header(&ring).to_string(), &all.to_string());
        prop_assert!(verify(&ring, &realm(), &token, now).is_err());
    }
}
