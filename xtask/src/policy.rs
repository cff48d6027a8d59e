//! What `cargo xtask rules` and `cargo xtask test` hold the project to. Every exception carries its reason.

/// The crate that only tests may use.
pub(crate) const TESTKIT: &str = "mcplane-testkit";

/// Each crate with the ones that it may depend on.
pub(crate) const LAYERS: &[(&str, &[&str])] = &[
    ("mcplane-core", &[]),
    ("mcplane-apimachinery", &["mcplane-core"]),
    ("mcplane-db", &["mcplane-core"]),
    ("mcplane-objects", &["mcplane-core", "mcplane-apimachinery", "mcplane-db"]),
    ("mcplane-access", &["mcplane-core", "mcplane-apimachinery", "mcplane-db", "mcplane-objects"]),
    ("mcplane-blobs", &["mcplane-core"]),
    ("mcplane-agent", &["mcplane-core"]),
    (
        "mcplane-scheduler",
        &["mcplane-core", "mcplane-apimachinery", "mcplane-db", "mcplane-objects", "mcplane-blobs", "mcplane-agent"],
    ),
    ("mcplane-egress", &[]),
    (
        "mcplane-tracking",
        &["mcplane-core", "mcplane-apimachinery", "mcplane-db", "mcplane-objects", "mcplane-blobs", "mcplane-egress"],
    ),
    ("mcplane-data", &["mcplane-core", "mcplane-apimachinery", "mcplane-db", "mcplane-objects", "mcplane-blobs"]),
    (
        "mcplane-features",
        &[
            "mcplane-core",
            "mcplane-apimachinery",
            "mcplane-db",
            "mcplane-objects",
            "mcplane-blobs",
            "mcplane-data",
            "mcplane-tracking",
        ],
    ),
    (
        "mcplane-pipelines",
        &[
            "mcplane-core",
            "mcplane-apimachinery",
            "mcplane-db",
            "mcplane-objects",
            "mcplane-blobs",
            "mcplane-scheduler",
            "mcplane-tracking",
        ],
    ),
    (
        "mcplane-serving",
        &[
            "mcplane-core",
            "mcplane-apimachinery",
            "mcplane-db",
            "mcplane-objects",
            "mcplane-blobs",
            "mcplane-tracking",
            "mcplane-monitoring",
        ],
    ),
    (
        "mcplane-monitoring",
        &["mcplane-core", "mcplane-apimachinery", "mcplane-db", "mcplane-objects", "mcplane-egress"],
    ),
    (
        "mcplane-delivery",
        &[
            "mcplane-core",
            "mcplane-apimachinery",
            "mcplane-db",
            "mcplane-objects",
            "mcplane-egress",
            "mcplane-monitoring",
        ],
    ),
    (
        "mcplane",
        &[
            "mcplane-agent",
            "mcplane-core",
            "mcplane-apimachinery",
            "mcplane-db",
            "mcplane-objects",
            "mcplane-access",
            "mcplane-blobs",
            "mcplane-data",
            "mcplane-delivery",
            "mcplane-egress",
            "mcplane-features",
            "mcplane-monitoring",
            "mcplane-pipelines",
            "mcplane-scheduler",
            "mcplane-serving",
            "mcplane-tracking",
        ],
    ),
    (TESTKIT, &[]),
    ("xtask", &[]),
];

/// A heavy or far-reaching dependency, and the crates whose business it is.
pub(crate) struct Outsider {
    pub(crate) name: &'static str,
    pub(crate) homes: &'static [&'static str],
}

/// What only some crates may depend on; a service that holds rules knows neither SQL nor sockets.
pub(crate) const OUTSIDERS: &[Outsider] = &[
    Outsider { name: "sqlx", homes: &["mcplane-db"] },
    Outsider { name: "rusqlite", homes: &["mcplane-db"] },
    Outsider {
        name: "kube",
        homes: &[
            "mcplane-objects",
            "mcplane-scheduler",
            "mcplane-pipelines",
            "mcplane-serving",
            "mcplane-delivery",
            "mcplane",
        ],
    },
    Outsider { name: "k8s-openapi", homes: &["mcplane-objects", "mcplane-access", "mcplane-scheduler", "mcplane"] },
    Outsider {
        name: "axum",
        homes: &[
            "mcplane-objects",
            "mcplane-access",
            "mcplane-tracking",
            "mcplane-scheduler",
            "mcplane-data",
            "mcplane-pipelines",
            "mcplane-serving",
            "mcplane-features",
            "mcplane-delivery",
            "mcplane",
        ],
    },
    Outsider { name: "arrow-array", homes: &["mcplane-data"] },
    Outsider { name: "object_store", homes: &["mcplane-blobs"] },
    Outsider { name: "datafusion", homes: &["mcplane-features"] },
    Outsider { name: "arrow", homes: &["mcplane-data", "mcplane-features"] },
    Outsider { name: "parquet", homes: &["mcplane-data", "mcplane-features"] },
    // DataFusion brings it for names of time zones in queries; jiff is the time library of this project.
    Outsider { name: "chrono-tz", homes: &[] },
    Outsider { name: "reqwest", homes: &["mcplane-blobs", "mcplane-egress"] },
    Outsider { name: "tower-http", homes: &["mcplane"] },
    Outsider { name: "hyper", homes: &["mcplane", "mcplane-delivery"] },
    Outsider { name: "hyper-util", homes: &["mcplane", "mcplane-delivery"] },
    Outsider { name: "rustls", homes: &["mcplane", "mcplane-blobs", "mcplane-egress"] },
    Outsider { name: "tokio-rustls", homes: &["mcplane"] },
    Outsider { name: "rcgen", homes: &["mcplane"] },
    Outsider { name: "clap", homes: &["mcplane"] },
    Outsider { name: "figment", homes: &["mcplane"] },
    Outsider { name: "argon2", homes: &["mcplane-access"] },
    Outsider { name: "jsonwebtoken", homes: &["mcplane-access"] },
];

/// Licences under which a dependency may come: permissive ones, and weak copyleft that ends at the file.
pub(crate) const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// What must not be built in, whoever asks for it.
pub(crate) const BANNED: &[(&str, &str)] = &[
    ("openssl", ONE_TLS),
    ("openssl-sys", ONE_TLS),
    ("native-tls", ONE_TLS),
    ("aws-lc-rs", ONE_TLS),
    ("aws-lc-sys", ONE_TLS),
    ("serde_yaml", "unmaintained; serde_norway is the YAML of this project"),
];

const ONE_TLS: &str = "TLS is rustls on ring, so that a build needs no C toolchain of its own and no system library";

/// Crates that are built in several versions, and why that cannot be helped now. An entry leaves the list when its
/// reason is gone: the check insists.
pub(crate) const DUPLICATES: &[(&str, &str)] = &[
    ("base64", KUBE),
    ("block-buffer", OLD_CRYPTO),
    ("const-oid", OLD_CRYPTO),
    ("cpufeatures", OLD_CRYPTO),
    ("crypto-common", OLD_CRYPTO),
    ("digest", OLD_CRYPTO),
    ("foldhash", DATAFUSION),
    ("getrandom", "ring is on 0.2, ahash on 0.3, everything else on 0.4"),
    ("hashbrown", "sqlx and kube-runtime are one version behind indexmap"),
    ("hkdf", OLD_CRYPTO),
    ("hmac", OLD_CRYPTO),
    ("itertools", DATAFUSION),
    ("num-bigint", "der-parser, which nothing here turns on, is one version behind arrow"),
    ("object_store", DATAFUSION),
    ("rand", OLD_CRYPTO),
    ("rand_chacha", OLD_CRYPTO),
    ("rand_core", OLD_CRYPTO),
    ("sha2", OLD_CRYPTO),
    ("spin", "sqlx's flume is one version behind object_store's crc-fast; a lock of a few lines"),
    ("syn", "procedural macros are moving to 3 one by one; none of it is in the binary"),
    ("synstructure", "as syn"),
    ("thiserror", "graphql-parser is one version behind"),
    ("thiserror-impl", "as thiserror"),
    ("tower-http", "reqwest is one version behind kube"),
];

const OLD_CRYPTO: &str = "jsonwebtoken and sqlx-core are one generation of the RustCrypto crates behind";
const DATAFUSION: &str = "DataFusion is one version behind; its copy serves queries over files, in one leaf crate";
const KUBE: &str = "kube and rcgen are ahead of jsonwebtoken, k8s-openapi and sqlx";

/// No Rust file is longer.
pub(crate) const LONGEST_FILE: usize = 800;

/// Addresses that belong to one machine or one mirror. In parts, so that this file keeps its own rule.
pub(crate) const FORBIDDEN_WORDS: &[[&str; 2]] = &[
    ["/work/", "main"],
    ["/work/", "shared"],
    ["/work/", "target"],
    ["/work/", ".library"],
    ["../", "shared"],
    ["static.", "crates.io"],
    ["index.", "crates.io"],
    ["pypi", ".org"],
    ["python", "hosted.org"],
    ["deb.debian", ".org"],
    ["registry.npm", "js.org"],
];

/// Tests that must have run: a word in their names, and how many at least.
pub(crate) struct Suite {
    pub(crate) word: &'static str,
    pub(crate) at_least: usize,
}

/// One line a backend or client that could be missing on some machine.
pub(crate) const SUITES: &[Suite] = &[
    Suite { word: "sqlite", at_least: 45 },
    Suite { word: "postgres", at_least: 45 },
    Suite { word: "kubectl::", at_least: 60 },
    Suite { word: "python::", at_least: 2 },
    Suite { word: "mlflow::", at_least: 7 },
    Suite { word: "kube_rs::", at_least: 10 },
    Suite { word: "crash::", at_least: 2 },
    Suite { word: "durability::", at_least: 2 },
    Suite { word: "faults::", at_least: 9 },
    Suite { word: "tasks_survive_kill_9", at_least: 2 },
    Suite { word: "several_servers_share_postgres", at_least: 1 },
    Suite { word: "simulation::", at_least: 2 },
];

impl Suite {
    /// A sentence when fewer tests than expected passed.
    pub(crate) fn short_of(&self, passed: &[String]) -> Option<String> {
        let ran = passed.iter().filter(|name| name.contains(self.word)).count();
        (ran < self.at_least).then(|| format!("`{}` ran {ran} tests of at least {}", self.word, self.at_least))
    }
}
