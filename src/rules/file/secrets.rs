//! `secret:` of a destination: which kind its format signs with.
//!
//! A secret of the wrong kind would be found out only when every receiver refuses, so what
//! can be told from its form is told here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use url::Url;

use super::MASKED_FROM;
use super::load::Loading;
use super::shape::At;
use crate::model::destination::{Format, Signing};

impl Loading<'_> {
    /// The secrets that `format` signs with. All are masked, also those that are refused.
    pub(super) fn signing_secrets(
        &mut self,
        format: Format,
        secrets: &[At<String>],
    ) -> Vec<SecretString> {
        let mut accepted = Vec::new();
        for (number, secret) in secrets.iter().enumerate() {
            let Some(value) = self.secret(secret, "the secret") else {
                continue;
            };
            if let Err((message, help)) = check(format, &value, number) {
                self.refuse(secret.at, message, help);
            }
            accepted.push(SecretString::from(value));
        }
        accepted
    }

    /// Masks what makes a bot's URL a secret: the values of its query, else the end of its
    /// path. Shorter ones are words, such as the `send` in the path of WeCom.
    pub(super) fn hide_token(&mut self, url: &Url) {
        let token = url.path().rsplit('/').next().map(str::to_owned);
        let values = url.query_pairs().map(|(_, value)| value.into_owned());
        let parts = token.filter(|_| url.query().is_none()).into_iter();
        let long = |part: &String| part.chars().count() >= MASKED_FROM;
        self.secrets.extend(parts.chain(values).filter(long));
    }
}

/// What is wrong with a secret, and the way out.
fn check(format: Format, secret: &str, number: usize) -> Result<(), (String, String)> {
    let name = format.name();
    match format.signing() {
        Signing::StandardWebhooks => {
            let key = secret
                .strip_prefix("whsec_")
                .map(|key| STANDARD.decode(key));
            if matches!(key, Some(Ok(key)) if !key.is_empty()) {
                return Ok(());
            }
            let help = "make one: printf 'whsec_%s' \"$(openssl rand -base64 24)\"";
            Err((
                "the secret is not `whsec_` followed by base64".to_owned(),
                help.to_owned(),
            ))
        }
        Signing::Nothing => Err((
            format!("the format {name} signs nothing: its URL is the secret"),
            "remove `secret`, and take `url` from the environment".to_owned(),
        )),
        Signing::Feishu | Signing::DingTalk if number > 0 => Err((
            format!("a bot of {name} has one secret, not a list"),
            "keep the one that its settings show".to_owned(),
        )),
        Signing::Feishu | Signing::DingTalk => {
            if !secret.starts_with("whsec_") && secret.chars().all(|c| c.is_ascii_graphic()) {
                return Ok(());
            }
            Err((
                format!("this is not the secret of a bot of {name}"),
                "copy it from the bot's security settings, as it stands there".to_owned(),
            ))
        }
    }
}
