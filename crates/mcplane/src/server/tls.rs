//! TLS of the listener, with a certificate that can change while the server runs.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig as RustlsConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use super::pki::{Authority, Identity, PkiError, server_names};
use super::shutdown::Shutdown;
use crate::config::TlsConfig;

/// How often certificates are looked at again: files of the user's own may have been replaced, ours may need renewal.
const REFRESH: Duration = Duration::from_secs(3600);

/// The server's certificate, wherever it comes from.
#[derive(Debug)]
pub struct Certificates {
    source: Source,
    provider: CryptoProvider,
    current: RwLock<Arc<CertifiedKey>>,
}

#[derive(Debug)]
enum Source {
    Own { authority: Box<Authority>, names: Vec<String> },
    Files(TlsConfig),
}

impl Source {
    fn identity(&self) -> Result<Identity, PkiError> {
        match self {
            Self::Own { authority, names } => authority.identity(names),
            Self::Files(TlsConfig { certificate: Some(certificate), key: Some(key), .. }) => {
                Identity::read(certificate, key)
            }
            Self::Files(_) => Err(rustls::Error::General("certificate and key need each other".to_owned()).into()),
        }
    }
}

impl Certificates {
    /// Reads the configured certificate, or has the data directory's own authority issue one.
    ///
    /// # Errors
    /// When there is no usable certificate.
    pub fn open(config: &TlsConfig, data_dir: &Path, listen: IpAddr) -> Result<Arc<Self>, PkiError> {
        let source = if config.certificate.is_some() {
            Source::Files(config.clone())
        } else {
            let names = server_names(listen, &config.san);
            Source::Own { authority: Box::new(Authority::open(data_dir)?), names }
        };
        let provider = rustls::crypto::ring::default_provider();
        let current = certified(&provider, source.identity()?)?;
        Ok(Arc::new(Self { source, provider, current: RwLock::new(current) }))
    }

    /// The names that the server's own certificate is for; none for a certificate of the user's.
    pub fn names(&self) -> &[String] {
        match &self.source {
            Source::Own { names, .. } => names,
            Source::Files(_) => &[],
        }
    }

    /// The authority that clients must trust, as PEM; `None` for a certificate of the user's.
    pub fn authority_pem(&self) -> Option<&str> {
        match &self.source {
            Source::Own { authority, .. } => Some(authority.certificate_pem()),
            Source::Files(_) => None,
        }
    }

    /// What a listener needs; HTTP/2 is preferred.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, PkiError> {
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(self) as _;
        let mut config = RustlsConfig::builder_with_provider(Arc::new(self.provider.clone()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Reads or renews the certificate; connections from now on use it.
    ///
    /// # Errors
    /// When there is no usable certificate; the old one stays in use.
    pub fn refresh(&self) -> Result<(), PkiError> {
        let fresh = certified(&self.provider, self.source.identity()?)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Refreshes the certificate from time to time until the server stops.
    pub(super) async fn keep_fresh(self: Arc<Self>, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(REFRESH) => {}
            }
            let certificates = Arc::clone(&self);
            let refreshed = tokio::task::spawn_blocking(move || certificates.refresh()).await;
            if let Ok(Err(error)) = refreshed {
                tracing::error!(error = &error as &dyn std::error::Error, "the server certificate can't be refreshed");
            }
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn certified(provider: &CryptoProvider, identity: Identity) -> Result<Arc<CertifiedKey>, PkiError> {
    Ok(Arc::new(CertifiedKey::from_der(identity.chain, identity.key, provider)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_files_are_taken_up() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("tls.crt"), dir.path().join("tls.key"));
        let issue = || {
            let made = rcgen::generate_simple_self_signed(vec!["box.example".to_owned()]).unwrap();
            std::fs::write(&certificate, made.cert.pem()).unwrap();
            std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        };
        issue();
        let config = TlsConfig { certificate: Some(certificate.clone()), key: Some(key.clone()), san: Vec::new() };
        let certificates = Certificates::open(&config, dir.path(), IpAddr::from([127, 0, 0, 1])).unwrap();
        let current = || certificates.current.read().unwrap().cert[0].clone();
        let first = current();
        issue();
        certificates.refresh().unwrap();
        let second = current();
        assert_ne!(first, second);

        std::fs::write(&certificate, "rubbish").unwrap();
        let error = certificates.refresh().unwrap_err();
        assert!(error.to_string().contains("tls.crt"), "{error}");
        assert_eq!(current(), second, "the old certificate stays");
        assert_eq!(certificates.authority_pem(), None);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let make = || rcgen::generate_simple_self_signed(vec!["box.example".to_owned()]).unwrap();
        std::fs::write(dir.path().join("tls.crt"), make().cert.pem()).unwrap();
        std::fs::write(dir.path().join("tls.key"), make().signing_key.serialize_pem()).unwrap();
        let config = TlsConfig {
            certificate: Some(dir.path().join("tls.crt")),
            key: Some(dir.path().join("tls.key")),
            san: Vec::new(),
        };
        assert!(Certificates::open(&config, dir.path(), IpAddr::from([127, 0, 0, 1])).is_err());
    }
}
