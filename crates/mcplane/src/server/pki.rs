//! The server's own certificate authority: `pki/ca.crt` and `pki/ca.key`, and the certificate that it issues for the
//! server, `pki/server.pem`, which holds chain and key so that the two can't disagree.

use std::fs::DirBuilder;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};

use super::data_dir::{PRIVATE, PUBLIC, write_atomically};

const AUTHORITY_YEARS: i16 = 10;
const CERTIFICATE_DAYS: i64 = 365;
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 86_400);
/// Clocks differ; a certificate is valid from a day before it was made.
const BACKDATE_DAYS: i64 = 1;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file can't be read or written.
    #[error("can't use {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} holds no usable {what}: {reason}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A name can't be in a certificate.
    #[error("can't issue a certificate: {0}")]
    Issue(#[from] rcgen::Error),
    /// TLS does not accept the certificate.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// A certificate chain and its private key.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads PEM files of the user's own.
    pub(super) fn read(certificate: &Path, key: &Path) -> Result<Self, PkiError> {
        let text = |path: &Path| std::fs::read(path).map_err(|source| PkiError::File { path: path.to_owned(), source });
        let chain = parse_chain(certificate, &text(certificate)?)?;
        Ok(Self { chain, key: parse_key(key, &text(key)?)? })
    }
}

fn parse_chain(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let wrong = |reason: String| PkiError::Content { path: path.to_owned(), what: "certificate", reason };
    let chain =
        CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|error| wrong(error.to_string()))?;
    if chain.is_empty() { Err(wrong("there is none".to_owned())) } else { Ok(chain) }
}

fn parse_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, PkiError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| PkiError::Content {
        path: path.to_owned(),
        what: "private key",
        reason: error.to_string(),
    })
}

/// A certificate authority in a directory.
pub struct Authority {
    dir: PathBuf,
    key: KeyPair,
    pem: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Authority {
    /// Where the authority's certificate lies in a data directory, for clients on the same machine.
    pub fn certificate_path(data_dir: &Path) -> PathBuf {
        data_dir.join("pki/ca.crt")
    }

    /// Reads the authority of a data directory, or founds one.
    ///
    /// # Errors
    /// When its files can't be used.
    pub fn open(data_dir: &Path) -> Result<Self, PkiError> {
        let dir = data_dir.join("pki");
        let file = |path: &Path, source| PkiError::File { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(|source| file(&dir, source))?;
        let (key_path, certificate_path) = (dir.join("ca.key"), Self::certificate_path(data_dir));
        let key = match std::fs::read_to_string(&key_path) {
            Ok(pem) => KeyPair::from_pem(&pem).map_err(|error| PkiError::Content {
                path: key_path,
                what: "private key",
                reason: error.to_string(),
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = KeyPair::generate()?;
                write_atomically(&key_path, key.serialize_pem().as_bytes(), PRIVATE)
                    .map_err(|source| file(&key_path, source))?;
                // A certificate without its key is of no use; a crash between the two files leaves only the key.
                let _ = std::fs::remove_file(&certificate_path);
                key
            }
            Err(source) => return Err(file(&key_path, source)),
        };
        let pem = match std::fs::read_to_string(&certificate_path) {
            Ok(pem) => pem,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let pem = authority_params().self_signed(&key)?.pem();
                write_atomically(&certificate_path, pem.as_bytes(), PUBLIC)
                    .map_err(|source| file(&certificate_path, source))?;
                pem
            }
            Err(source) => return Err(file(&certificate_path, source)),
        };
        parse_chain(&certificate_path, pem.as_bytes())?;
        Ok(Self { dir, key, pem })
    }

    /// The certificate that clients must trust, as PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The server's certificate for `names`: the one on disk while it will do, else a new one.
    pub(super) fn identity(&self, names: &[String]) -> Result<Identity, PkiError> {
        let path = self.dir.join("server.pem");
        match std::fs::read(&path) {
            Ok(pem) => match self.accept(&path, &pem, names) {
                Ok(identity) => return Ok(identity),
                Err(reason) => tracing::info!(%reason, "issuing a new server certificate"),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(PkiError::File { path, source }),
        }
        let pem = self.issue(names)?;
        write_atomically(&path, pem.as_bytes(), PRIVATE)
            .map_err(|source| PkiError::File { path: path.clone(), source })?;
        Ok(Identity { chain: parse_chain(&path, pem.as_bytes())?, key: parse_key(&path, pem.as_bytes())? })
    }

    fn issue(&self, names: &[String]) -> Result<String, PkiError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = common_name(names.first().map_or("localhost", String::as_str));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, jiff::Span::new().days(CERTIFICATE_DAYS));
        let issuer = Issuer::new(authority_params(), &self.key);
        let certificate = params.signed_by(&key, &issuer)?;
        Ok(format!("{}{}{}{}", heading(names), certificate.pem(), self.pem, key.serialize_pem()))
    }

    /// Takes a stored certificate if it is for exactly `names`, and if clients that trust the authority will accept
    /// it for each of them for some time to come.
    fn accept(&self, path: &Path, pem: &[u8], names: &[String]) -> Result<Identity, String> {
        if !pem.starts_with(heading(names).as_bytes()) {
            return Err("the server's names changed".to_owned());
        }
        let chain = parse_chain(path, pem).map_err(|error| error.to_string())?;
        let key = parse_key(path, pem).map_err(|error| error.to_string())?;
        let mut roots = RootCertStore::empty();
        for root in parse_chain(path, self.pem.as_bytes()).map_err(|error| error.to_string())? {
            roots.add(root).map_err(|error| error.to_string())?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| error.to_string())?;
        let later = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) + RENEW_BEFORE);
        for name in names {
            let server_name = ServerName::try_from(name.as_str()).map_err(|error| error.to_string())?;
            verifier
                .verify_server_cert(&chain[0], &chain[1..], &server_name, &[], later)
                .map_err(|error| error.to_string())?;
        }
        Ok(Identity { chain, key })
    }
}

/// The names of a server's certificate: this machine's, the address that it listens on, and the configured ones.
pub(super) fn server_names(listen: IpAddr, configured: &[String]) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    names.extend(rustix::system::uname().nodename().to_str().ok().map(str::to_ascii_lowercase));
    if !listen.is_unspecified() {
        names.push(listen.to_canonical().to_string());
    }
    names.extend(configured.iter().map(|name| name.to_ascii_lowercase()));
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| ServerName::try_from(name.as_str()).is_ok() && seen.insert(name.clone()));
    names
}

/// The SHA-256 fingerprint of the first certificate in a PEM text, as `sha256:HEX`, to be compared by people.
pub fn fingerprint(pem: &str) -> Option<String> {
    let certificate = CertificateDer::pem_slice_iter(pem.as_bytes()).next()?.ok()?;
    let digits: String = Sha256::digest(&certificate).iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("sha256:{digits}"))
}

/// PEM allows text before its first block; ours says which names the certificate is for.
fn heading(names: &[String]) -> String {
    format!("Names: {}\n", names.join(", "))
}

fn common_name(name: &str) -> rcgen::DistinguishedName {
    let mut subject = rcgen::DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("mcplane certificate authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, jiff::Span::new().years(AUTHORITY_YEARS));
    params
}

fn set_validity(params: &mut CertificateParams, lifetime: jiff::Span) {
    let date = |date: jiff::civil::Date| {
        rcgen::date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    params.not_before = date(today.saturating_sub(jiff::Span::new().days(BACKDATE_DAYS)));
    params.not_after = date(today.saturating_add(lifetime));
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn an_authority_is_founded_once() {
        let dir = tempfile::tempdir().unwrap();
        let first = Authority::open(dir.path()).unwrap();
        let again = Authority::open(dir.path()).unwrap();
        assert_eq!(first.certificate_pem(), again.certificate_pem());
        let mode = |name: &str| dir.path().join("pki").join(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("ca.key"), mode("ca.crt"), mode("")), (0o600, 0o644, 0o700));
        assert!(fingerprint(first.certificate_pem()).unwrap().starts_with("sha256:"));
        assert_eq!(fingerprint("nothing"), None);
    }

    #[test]
    fn a_lost_certificate_comes_back_with_the_same_key() {
        let dir = tempfile::tempdir().unwrap();
        let names = names(&["localhost"]);
        Authority::open(dir.path()).unwrap().identity(&names).unwrap();
        std::fs::remove_file(Authority::certificate_path(dir.path())).unwrap();
        let authority = Authority::open(dir.path()).unwrap();
        let pem = std::fs::read(dir.path().join("pki/server.pem")).unwrap();
        authority.accept(Path::new("server.pem"), &pem, &names).unwrap();
    }

    #[test]
    fn certificates_are_kept_while_they_will_do() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path()).unwrap();
        let one = names(&["localhost", "127.0.0.1", "::1"]);
        let first = authority.identity(&one).unwrap();
        assert_eq!(first.chain[0], authority.identity(&one).unwrap().chain[0]);
        let other = names(&["localhost", "127.0.0.1", "::1", "node1"]);
        let second = authority.identity(&other).unwrap();
        assert_ne!(first.chain[0], second.chain[0]);
        assert_ne!(second.chain[0], authority.identity(&one).unwrap().chain[0]);
        std::fs::write(dir.path().join("pki/server.pem"), "Names: localhost\nrubbish").unwrap();
        authority.identity(&names(&["localhost"])).unwrap();
    }

    #[test]
    fn a_certificate_near_its_end_or_of_another_authority_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path()).unwrap();
        let names = names(&["localhost"]);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        set_validity(&mut params, jiff::Span::new().days(29));
        let short = params.signed_by(&key, &Issuer::new(authority_params(), &authority.key)).unwrap().pem();
        let pem = format!("{}{short}{}", heading(&names), key.serialize_pem());
        let reason = authority.accept(Path::new("server.pem"), pem.as_bytes(), &names).err().unwrap();
        assert!(reason.contains("expired"), "{reason}");

        let elsewhere = tempfile::tempdir().unwrap();
        let foreign = Authority::open(elsewhere.path()).unwrap().issue(&names).unwrap();
        assert!(authority.accept(Path::new("server.pem"), foreign.as_bytes(), &names).is_err());
    }

    #[test]
    fn names_are_this_machines_and_unique() {
        let listed = server_names("10.0.0.7".parse().unwrap(), &names(&["Box.example", "localhost", "not a name"]));
        assert_eq!(listed[..3], names(&["localhost", "127.0.0.1", "::1"]));
        assert!(listed.contains(&"10.0.0.7".to_owned()) && listed.contains(&"box.example".to_owned()));
        assert_eq!(listed.iter().filter(|name| *name == "localhost").count(), 1);
        assert!(!listed.iter().any(|name| name.contains(' ')));
        assert!(!server_names("0.0.0.0".parse().unwrap(), &[]).contains(&"0.0.0.0".to_owned()));
    }
}
