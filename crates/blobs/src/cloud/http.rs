//! The HTTP client for object stores. It goes where the configuration says: it follows no redirect, and takes proxies
//! and further authorities from the configuration only.

use crate::config::BlobsConfig;
use mcplane_core::{Error, Result};
use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

impl Connector {
    /// A client for one store, with TLS or for an endpoint that has none.
    pub(super) fn new(config: &BlobsConfig, plain: bool) -> Result<Self> {
        let mut client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(config, plain)?)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("mcplane/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(60));
        let proxy = if plain { "HTTP_PROXY" } else { "HTTPS_PROXY" };
        if let Some(url) = config.first(&[proxy]) {
            let except = config.first(&["NO_PROXY"]).and_then(reqwest::NoProxy::from_string);
            let proxy = reqwest::Proxy::all(url).map_err(|_| Error::bad_request(format!("{proxy} is not a URL")))?;
            client = client.proxy(proxy.no_proxy(except));
        }
        client.build().map(Self).map_err(Error::internal)
    }
}

fn tls(config: &BlobsConfig, plain: bool) -> Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(Error::internal)?;
    if plain {
        // A machine that needs no authorities may have none.
        return Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth());
    }
    let verifier = Arc::new(verifier(config, provider)?);
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// The system's authorities, and those of `AWS_CA_BUNDLE`.
fn verifier(config: &BlobsConfig, provider: Arc<CryptoProvider>) -> Result<rustls_platform_verifier::Verifier> {
    use rustls_platform_verifier::Verifier;
    let Some(file) = config.first(&["AWS_CA_BUNDLE"]) else {
        return Verifier::new(provider).map_err(|error| Error::bad_request(format!("no TLS authorities: {error}")));
    };
    let unusable = |error: &dyn std::fmt::Display| Error::bad_request(format!("AWS_CA_BUNDLE {file:?}: {error}"));
    let found = CertificateDer::pem_file_iter(file).map_err(|error| unusable(&error))?;
    let roots = found.collect::<Result<Vec<_>, _>>().map_err(|error| unusable(&error))?;
    Verifier::new_with_extra_roots(roots, provider).map_err(|error| unusable(&error))
}
