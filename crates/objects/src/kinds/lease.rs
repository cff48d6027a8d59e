//! `Lease`.

use k8s_openapi::api::coordination::v1::Lease;
use mcplane_core::FieldError;

use super::text;
use crate::http::AGE;
use crate::kind::{Column, Kind, Resource};

impl Resource for Lease {
    const KIND: Kind = Kind {
        // Holders renew every few seconds.
        unaudited: true,
        columns: &[
            Column {
                name: "Holder",
                format: "string",
                priority: 0,
                cell: |o| text(o, &["spec", "holderIdentity"]).into(),
            },
            AGE,
        ],
        ..Kind::namespaced("coordination.k8s.io", &["v1"], "Lease", "leases", "lease")
    };

    fn validate(new: &Self, _: Option<&Self>) -> Vec<FieldError> {
        let spec = new.spec.as_ref();
        let duration = spec.and_then(|spec| spec.lease_duration_seconds).filter(|seconds| *seconds <= 0);
        let transitions = spec.and_then(|spec| spec.lease_transitions).filter(|count| *count < 0);
        let duration = duration.map(|s| FieldError::invalid("spec.leaseDurationSeconds", s, "must be greater than 0"));
        let transitions =
            transitions.map(|n| FieldError::invalid("spec.leaseTransitions", n, "must be greater than or equal to 0"));
        duration.into_iter().chain(transitions).collect()
    }
}
