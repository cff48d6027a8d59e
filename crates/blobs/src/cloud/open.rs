//! From a location and the configuration to a client of the store.

use super::http::Connector;
use super::{Cloud, Dialect, Store};
use crate::config::BlobsConfig;
use crate::location::{Bucket, Location};
use mcplane_core::{Error, Result};
use object_store::RetryConfig;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use std::sync::Arc;
use std::time::Duration;

impl Cloud {
    pub(crate) fn open(location: &Location, config: &BlobsConfig) -> Result<Self> {
        let (store, bucket, dialect): (object_store::Result<Arc<dyn Store>>, _, _) = match location {
            Location::S3(bucket) => (s3(bucket, config)?, bucket, Dialect::S3),
            Location::Gcs(bucket) => (gcs(bucket, config)?, bucket, Dialect::Gcs),
            Location::Azure { account, bucket } => (azure(account.as_deref(), bucket, config)?, bucket, Dialect::Azure),
            Location::File(_) => return Err(Error::internal(format!("{location} is not an object store"))),
        };
        let store = store.map_err(|error| Error::bad_request(format!("{location} cannot be opened: {error}")))?;
        Ok(Self { store, bucket: bucket.clone(), dialect })
    }
}

type Opened = Result<object_store::Result<Arc<dyn Store>>>;

fn s3(bucket: &Bucket, config: &BlobsConfig) -> Opened {
    let endpoint = config.first(&["MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]);
    let plain = is_plain(endpoint);
    let mut builder = AmazonS3Builder::new();
    // Other tools have variables of that prefix too.
    for (key, value) in config.with_prefix("AWS_").filter_map(|(name, value)| Some((name.parse().ok()?, value))) {
        builder = builder.with_config(key, value);
    }
    if let Some(endpoint) = endpoint {
        builder = builder.with_config(object_store::aws::AmazonS3ConfigKey::S3Endpoint, endpoint.trim_end_matches('/'));
    }
    let builder = builder.with_bucket_name(&bucket.name).with_allow_http(plain).with_retry(retries());
    let built = builder.with_http_connector(Connector::new(config, plain)?).build();
    Ok(built.map(|store| Arc::new(store) as _))
}

fn gcs(bucket: &Bucket, config: &BlobsConfig) -> Opened {
    let emulator = config.first(&["STORAGE_EMULATOR_HOST"]).map(|host| match host.contains("://") {
        true => host.trim_end_matches('/').to_owned(),
        false => format!("http://{}", host.trim_end_matches('/')),
    });
    let base = emulator.as_deref().or_else(|| config.first(&["GOOGLE_BASE_URL"]));
    let plain = is_plain(base);
    let mut builder = GoogleCloudStorageBuilder::new();
    if let Some(base) = base {
        builder = builder.with_base_url(base);
    }
    if emulator.is_some() {
        // An emulator lets everybody in, and is not shown real credentials.
        builder = builder.with_bearer_token("emulator");
    } else {
        for (key, value) in config.with_prefix("GOOGLE_").filter_map(|(name, value)| Some((name.parse().ok()?, value)))
        {
            builder = builder.with_config(key, value);
        }
    }
    let options = object_store::ClientOptions::new().with_allow_http(plain);
    let builder = builder.with_bucket_name(&bucket.name).with_client_options(options).with_retry(retries());
    let built = builder.with_http_connector(Connector::new(config, plain)?).build();
    Ok(built.map(|store| Arc::new(store) as _))
}

fn azure(account: Option<&str>, bucket: &Bucket, config: &BlobsConfig) -> Opened {
    let connection = config.first(&["AZURE_STORAGE_CONNECTION_STRING"]).map(connection_string).unwrap_or_default();
    let told = |name: &str| connection.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
    let named = told("AccountName").or_else(|| config.first(&["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"]));
    if let (Some(account), Some(named)) = (account, named)
        && account != named
    {
        // The credentials are not for that account, and are nobody else's business.
        return Err(Error::bad_request(format!("this server has no credentials for Azure's account {account:?}")));
    }
    let endpoint = told("BlobEndpoint").or_else(|| config.first(&["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"]));
    let plain = is_plain(endpoint);
    let mut builder = MicrosoftAzureBuilder::new();
    for (key, value) in config.with_prefix("AZURE_").filter_map(|(name, value)| Some((name.parse().ok()?, value))) {
        builder = builder.with_config(key, value);
    }
    if let Some(account) = account.or(named) {
        builder = builder.with_account(account);
    }
    if let Some(key) = told("AccountKey").or_else(|| config.first(&["AZURE_STORAGE_ACCESS_KEY"])) {
        builder = builder.with_access_key(key);
    }
    if let Some(sas) = told("SharedAccessSignature") {
        builder = builder.with_config(object_store::azure::AzureConfigKey::SasKey, sas);
    }
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
    }
    let builder = builder.with_container_name(&bucket.name).with_allow_http(plain).with_retry(retries());
    let built = builder.with_http_connector(Connector::new(config, plain)?).build();
    Ok(built.map(|store| Arc::new(store) as _))
}

/// `Key=Value` pairs with semicolons between; a value may itself end in `=`.
fn connection_string(text: &str) -> Vec<(&str, &str)> {
    text.split(';').filter_map(|pair| pair.trim().split_once('=')).collect()
}

/// Whoever configures an endpoint without TLS has decided so.
fn is_plain(endpoint: Option<&str>) -> bool {
    endpoint.is_some_and(|endpoint| endpoint.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://")))
}

/// Clients wait meanwhile, and they have their own patience.
fn retries() -> RetryConfig {
    RetryConfig { max_retries: 4, retry_timeout: Duration::from_secs(20), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(location: &str, vars: &[(&str, &str)]) -> Result<Cloud> {
        Cloud::open(&location.parse()?, &BlobsConfig::from_vars(vars.iter().copied()))
    }

    const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "hunter2")];

    #[test]
    fn stores_open_from_the_variables_of_their_tools() {
        open("s3://models/x", &KEYS).unwrap();
        open("s3://models/x", &[&KEYS[..], &[("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:1/")]].concat()).unwrap();
        open("gs://models", &[("STORAGE_EMULATOR_HOST", "localhost:1")]).unwrap();
        let connection =
            "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=a2V5cw==;EndpointSuffix=core.windows.net";
        open("az://models/x", &[("AZURE_STORAGE_CONNECTION_STRING", connection)]).unwrap();
        open("wasbs://models@acct.blob.core.windows.net/x", &[("AZURE_STORAGE_CONNECTION_STRING", connection)])
            .unwrap();
        open("az://models", &[("AZURE_STORAGE_ACCOUNT_NAME", "acct"), ("AZURE_STORAGE_ACCESS_KEY", "a2V5cw==")])
            .unwrap();
    }

    #[test]
    fn credentials_go_to_their_own_account_only() {
        let vars = [("AZURE_STORAGE_ACCOUNT_NAME", "acct"), ("AZURE_STORAGE_ACCESS_KEY", "a2V5cw==")];
        let error = open("wasbs://models@other.blob.core.windows.net/x", &vars).unwrap_err();
        assert!(error.to_string().contains("\"other\""), "{error}");
    }

    #[test]
    fn faults_of_the_configuration_are_told_without_secrets() {
        let error = open("s3://models", &KEYS[1..]).unwrap_err();
        assert_eq!(error.http_status(), 400);
        assert!(!error.to_string().contains("hunter2"), "{error}");
        let bundle = [&KEYS[..], &[("AWS_CA_BUNDLE", "/nowhere/ca.pem")]].concat();
        assert!(open("s3://models", &bundle).unwrap_err().to_string().contains("/nowhere/ca.pem"));
        assert!(!format!("{:?}", open("s3://models", &KEYS).unwrap()).contains("hunter2"));
    }
}
