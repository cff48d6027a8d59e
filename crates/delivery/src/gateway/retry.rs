//! When another try is made. Pure.

use http::StatusCode;

use crate::routes::Retries;

/// Conditions of Envoy's `retry-on` that are known here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    /// The connection broke before an answer.
    pub(super) reset: bool,
    /// Any status from 500.
    any_5xx: bool,
    /// 502, 503 and 504.
    gateway_error: bool,
    /// 503, Istio's default.
    unavailable: bool,
}

impl Conditions {
    /// Of a rule; an upstream that does not connect is always tried elsewhere and needs no condition.
    pub(super) fn of(retries: Option<&Retries>) -> Self {
        let Some(retries) = retries else { return Self::default() };
        if retries.on.trim().is_empty() {
            return Self { unavailable: true, ..Self::default() };
        }
        let mut conditions = Self::default();
        for condition in retries.on.split(',') {
            match condition.trim() {
                "5xx" => (conditions.any_5xx, conditions.reset) = (true, true),
                "gateway-error" => conditions.gateway_error = true,
                "reset" | "reset-before-request" => conditions.reset = true,
                "unavailable" | "503" => conditions.unavailable = true,
                _ => {}
            }
        }
        conditions
    }

    /// Whether an answer with this status is tried again.
    pub(super) fn again(self, status: StatusCode) -> bool {
        (self.any_5xx && status.is_server_error())
            || (self.gateway_error && matches!(status.as_u16(), 502..=504))
            || (self.unavailable && status == StatusCode::SERVICE_UNAVAILABLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_envoys() {
        let of = |on: &str| Conditions::of(Some(&Retries { attempts: 2, per_try: None, on: on.to_owned() }));
        assert_eq!(Conditions::of(None), Conditions::default());
        assert!(of("").again(StatusCode::SERVICE_UNAVAILABLE) && !of("").again(StatusCode::BAD_GATEWAY));
        assert!(of("5xx").again(StatusCode::INTERNAL_SERVER_ERROR) && of("5xx").reset);
        assert!(of("connect-failure, gateway-error").again(StatusCode::BAD_GATEWAY));
        assert!(!of("gateway-error").again(StatusCode::INTERNAL_SERVER_ERROR));
        assert!(!of("5xx").again(StatusCode::NOT_FOUND));
    }
}
