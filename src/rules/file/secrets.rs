//! Checks the form of `secret:` for the destination's format, and collects the secrets that are
//! hidden in storage, logs and output.
//!
//! A receiver would refuse every request signed with the wrong kind of secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use url::{Position, Url};

use super::load::Loading;
use crate::chat;
use crate::model::destination::Format;
use crate::model::secret::{MASKED_FROM, Mask, of_header, of_url, tokens_of_url};
use crate::rules::template::{CODE, without_code};
use crate::yaml::shape::At;

impl Loading<'_> {
    /// The secrets that `format` signs with. All are masked, even refused ones.
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
            let key = value.strip_prefix("whsec_").map(str::to_owned);
            self.secrets.extend(key);
            accepted.push(SecretString::from(value));
        }
        accepted
    }

    /// Masks the secret parts of a bot's URL: its query values, or else its last path segment, and
    /// anything that looks like a token. Short parts are ordinary words, such as `send` in WeCom's
    /// path.
    pub(super) fn hide_token(&mut self, url: &Url) {
        let last = url.path().rsplit('/').next().map(str::to_owned);
        let last = last.filter(|_| url.query().is_none());
        let long = |piece: &String| piece.chars().count() >= MASKED_FROM;
        self.secrets.extend(last.filter(long));
        self.secrets.extend(tokens_of_url(url));
    }

    /// Masks the secret parts of a header; `text` may contain templates.
    pub(super) fn hide_header(&mut self, name: &str, text: &str) {
        let literal = without_code(text);
        let pieces = literal.split(CODE).map(str::trim);
        let whole = !literal.contains(CODE);
        // Short pieces next to a template are ordinary words.
        let piece = pieces.filter(|piece| whole || piece.chars().count() >= MASKED_FROM);
        for piece in piece {
            self.secrets.extend(of_header(name, piece));
        }
    }

    pub(super) fn mask(&self) -> Mask {
        let scalars = self.tree.with_environment();
        let environment = scalars.flat_map(|(id, text)| {
            let (origin, whole) = (origin_of(text), web_url(text));
            let parts = self.tree.environment_of(id);
            let parts = parts.filter(move |(_, range)| range.end > origin);
            parts.flat_map(move |(_, range)| of_environment(&text[range], whole.as_ref()))
        });
        Mask::new(environment.chain(self.secrets.iter().cloned()))
    }
}

/// The texts that hide a value from the environment; `whole` is the URL that contains it. URLs and
/// their parts are hidden in the parser's spelling.
fn of_environment(value: &str, whole: Option<&Url>) -> Vec<String> {
    let mut hidden = vec![value.to_owned()];
    match web_url(value) {
        Some(url) if is_origin(&url) => return Vec::new(),
        Some(url) => {
            let up_to_query = &url[..Position::AfterPath];
            hidden.extend([
                url.to_string(),
                up_to_query.trim_end_matches('/').to_owned(),
            ]);
            hidden.extend(of_url(&url));
        }
        None if whole.is_some() => {
            let kept = value.replace(['\t', '\r', '\n'], "");
            hidden.extend(kept.split(['/', '?', '&', '=', '#']).map(str::to_owned));
        }
        None => {}
    }
    hidden.retain(|part| part.chars().count() >= MASKED_FROM);
    hidden
}

/// Whether it is only scheme, host and port, which error texts may show.
fn is_origin(url: &Url) -> bool {
    url.path() == "/" && url.query().is_none() && has_no_user(url)
}

fn has_no_user(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none()
}

/// Where the origin ends in a URL; 0 when it is not a URL or has credentials.
fn origin_of(text: &str) -> usize {
    let Some(begin) = web_url(text).filter(has_no_user).and(text.find("://")) else {
        return 0;
    };
    let begin = begin + "://".len();
    let end = text[begin..].find(['/', '?', '#', '\\']);
    end.map_or(text.len(), |end| begin + end)
}

fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    matches!(url.scheme(), "http" | "https").then_some(url)
}

fn check(format: Format, secret: &str, number: usize) -> Result<(), (String, String)> {
    let name = format.name();
    match chat::of(format) {
        None => {
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
        Some(chat) if chat.signature.is_none() => Err((
            format!("the format {name} signs nothing: its URL is the secret"),
            "remove `secret`, and take `url` from the environment".to_owned(),
        )),
        Some(_) if number > 0 => Err((
            format!("a bot of {name} has one secret, not a list"),
            "keep the one that its settings show".to_owned(),
        )),
        Some(_) => {
            if !secret.starts_with("whsec_") && secret.chars().all(|c| c.is_ascii_graphic()) {
                return Ok(());
            }
            Err((
                format!("this is not the secret of a bot of {name}"),
                "copy it from the bot's security settings, exactly as shown there".to_owned(),
            ))
        }
    }
}
