//! The settings of the process: flags and environment variables, parsed.
//!
//! Knows no command line parser and no rules file: `cli` fills in [`Settings`], and `app` reads it.
//! Each error says what would be accepted.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

/// A shorter token can be guessed.
const TOKEN_CHARACTERS: usize = 16;

#[derive(Debug, Clone)]
pub struct Settings {
    pub rules: PathBuf,
    /// Whether to reload the rules when their file changes.
    pub watch: bool,
    pub store: StoreUrl,
    /// Where callbacks are received.
    pub listen: ListenAddr,
    pub admin: Admin,
    pub retention: Retention,
    /// How long running steps may still take when the service stops.
    pub grace: Duration,
    pub log: LogFormat,
    /// Which log lines are written: `level` or `target=level,…`.
    pub log_filter: String,
}

/// Settings that contradict each other.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unfit {
    #[error("--admin-listen {0} can be reached from other machines; add --admin-token-file FILE")]
    OpenAdmin(ListenAddr),
    #[error(
        "--listen {listen} and --admin-listen {admin} are one port; choose another for one of them"
    )]
    OnePort {
        listen: ListenAddr,
        admin: ListenAddr,
    },
    #[error("{}: empty; put the token of --admin-token-file in it", .0.display())]
    EmptyToken(PathBuf),
    #[error(
        "--dedup-horizon {} is shorter than --retention {}; an event must be known as long as its history is kept",
        humantime::format_duration(*dedup_horizon),
        humantime::format_duration(*history)
    )]
    ShortHorizon {
        dedup_horizon: Duration,
        history: Duration,
    },
}

/// A text that does not parse as a setting.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{given} is not {expected}")]
pub struct Invalid {
    given: String,
    expected: &'static str,
}

/// The operator listener: reachable from this machine only, or protected by a token.
#[derive(Debug, Clone)]
pub struct Admin {
    listen: ListenAddr,
    token: Option<SecretString>,
    token_file: Option<PathBuf>,
}

/// How long the store keeps data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    history: Duration,
    dedup_horizon: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// An SQLite database file.
    Sqlite(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddr(SocketAddr);

/// The format of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The environment of the process, for the rules file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Environment;

impl Admin {
    /// `token_file` is the file's path and content.
    pub fn new(listen: ListenAddr, token_file: Option<(&Path, &str)>) -> Result<Self, Unfit> {
        let token = match token_file {
            None if listen.is_loopback() => None,
            None => return Err(Unfit::OpenAdmin(listen)),
            Some((path, text)) if text.trim().is_empty() => {
                return Err(Unfit::EmptyToken(path.to_owned()));
            }
            Some((_, text)) => Some(SecretString::from(text.trim())),
        };
        Ok(Self {
            listen,
            token,
            token_file: token_file.map(|(path, _)| path.to_owned()),
        })
    }

    /// Warnings about how the token is kept.
    pub fn remarks(&self) -> Vec<String> {
        let (Some(path), Some(token)) = (&self.token_file, &self.token) else {
            return Vec::new();
        };
        let shown = format!("--admin-token-file {}", path.display());
        let characters = token.expose_secret().chars().count();
        let weak = (characters < TOKEN_CHARACTERS).then(|| {
            format!(
                "{shown}: its token has {characters} characters and can be guessed; `openssl rand -hex 32` makes another"
            )
        });
        let open = exposed(path).map(|who| format!("{shown}: {who}"));
        weak.into_iter().chain(open).collect()
    }

    pub fn listen(&self) -> ListenAddr {
        self.listen
    }

    pub fn token(&self) -> Option<&SecretString> {
        self.token.as_ref()
    }
}

/// Who else can read a file with a secret, and how to fix it. If another user owns the file, its
/// group may be what lets this process read it.
fn exposed(path: &Path) -> Option<String> {
    let found = path.metadata().ok()?;
    let mode = found.mode() & 0o777;
    let is_own = found.uid() == rustix::process::geteuid().as_raw();
    let who = if mode & 0o004 != 0 {
        "every user of this machine"
    } else if mode & 0o040 != 0 && is_own {
        "every user of its group"
    } else {
        return None;
    };
    let whose = if is_own { "go" } else { "o" };
    Some(format!(
        "{who} can read it (mode {mode:o}); `chmod {whose}=` ends that"
    ))
}

impl Retention {
    /// Keeps bodies and attempts of finished tasks for `history`, and ids and places for
    /// `dedup_horizon`.
    pub fn new(history: Duration, dedup_horizon: Duration) -> Result<Self, Unfit> {
        if dedup_horizon < history {
            return Err(Unfit::ShortHorizon {
                dedup_horizon,
                history,
            });
        }
        Ok(Self {
            history,
            dedup_horizon,
        })
    }

    pub fn history(self) -> Duration {
        self.history
    }

    /// How long a late duplicate is recognised.
    pub fn dedup_horizon(self) -> Duration {
        self.dedup_horizon
    }
}

/// Parses a duration with its unit, such as `30d`, `12h` or `25s`.
pub fn duration(text: &str) -> Result<Duration, Invalid> {
    humantime::parse_duration(text)
        .map_err(|_| invalid(text, "a duration with a unit, such as 30d, 12h or 25s"))
}

impl FromStr for StoreUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let Some(path) = text.strip_prefix("sqlite:") else {
            return Err(unknown_store(text));
        };
        // Other programs write an absolute path as `sqlite:///var/lib/x.db`.
        let path = match path.strip_prefix("//") {
            Some(absolute) if absolute.starts_with('/') => absolute,
            Some(_) => return Err(invalid(text, "a store (sqlite:PATH, without //)")),
            None => path,
        };
        if path.is_empty() || path.starts_with(':') || path.contains('?') {
            let expected = "a store (sqlite:PATH, where PATH is a file, without parameters)";
            return Err(invalid(text, expected));
        }
        Ok(Self::Sqlite(path.into()))
    }
}

/// Shows only the scheme: the rest may contain a password.
fn unknown_store(text: &str) -> Invalid {
    let given = match text.split_once(':') {
        Some((scheme, _)) => format!("\"{scheme}:…\""),
        None => format!("{text:?}"),
    };
    Invalid {
        given,
        expected: "a store (sqlite:PATH)",
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

impl ListenAddr {
    pub fn socket_addr(self) -> SocketAddr {
        self.0
    }

    /// Fails if this and `admin` are the same address and port, or overlap.
    pub fn apart_from(self, admin: Self) -> Result<(), Unfit> {
        let [ours, theirs] = [self, admin].map(|addr| addr.0.ip().to_canonical());
        let covers = |any: IpAddr, other: IpAddr| {
            any == other || any.is_unspecified() && (any.is_ipv6() || other.is_ipv4())
        };
        let listen = self;
        if self.0.port() != 0
            && self.0.port() == admin.0.port()
            && (covers(ours, theirs) || covers(theirs, ours))
        {
            return Err(Unfit::OnePort { listen, admin });
        }
        Ok(())
    }

    /// Whether only this machine can connect.
    pub fn is_loopback(self) -> bool {
        self.0.ip().to_canonical().is_loopback()
    }
}

impl FromStr for ListenAddr {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let on = |ip: Ipv4Addr, port: &str| Some(SocketAddr::from((ip, port.parse().ok()?)));
        match text.rsplit_once(':') {
            Some(("", port)) => on(Ipv4Addr::UNSPECIFIED, port),
            Some(("localhost", port)) => on(Ipv4Addr::LOCALHOST, port),
            _ => text.parse().ok(),
        }
        .map(Self)
        .ok_or_else(|| invalid(text, "an address and port, such as 127.0.0.1:8080"))
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for LogFormat {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(invalid(text, "a log format (text or json)")),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

impl Environment {
    pub fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    /// The file's content without a line break at its end, which editors and secret stores add, or
    /// why it cannot be read.
    pub fn file(&self, path: &str) -> Result<String, String> {
        let mut content = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {path}: {error}"))?;
        content.truncate(content.trim_end_matches(['\r', '\n']).len());
        Ok(content)
    }

    /// Who else can read the file, and how to fix that; `None` if nobody.
    pub fn exposed(&self, path: &str) -> Option<String> {
        exposed(Path::new(path))
    }
}

fn invalid(given: &str, expected: &'static str) -> Invalid {
    Invalid {
        given: format!("{given:?}"),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal<T: FromStr<Err = Invalid> + fmt::Debug>(text: &str) -> String {
        text.parse::<T>().unwrap_err().to_string()
    }

    fn at(text: &str) -> ListenAddr {
        text.parse().unwrap()
    }

    #[test]
    fn store_is_a_file_on_disk() {
        for (text, path) in [
            ("sqlite:aftertake.db", "aftertake.db"),
            ("sqlite:/var/lib/a.db", "/var/lib/a.db"),
            ("sqlite:///var/lib/a.db", "/var/lib/a.db"),
        ] {
            assert_eq!(text.parse(), Ok(StoreUrl::Sqlite(path.into())));
        }
        let no_file = "is not a store (sqlite:PATH, where PATH is a file, without parameters)";
        for text in ["sqlite:", "sqlite::memory:", "sqlite:a.db?mode=rwc"] {
            assert_eq!(refusal::<StoreUrl>(text), format!("{text:?} {no_file}"));
        }
        assert_eq!(
            refusal::<StoreUrl>("sqlite://a.db"),
            "\"sqlite://a.db\" is not a store (sqlite:PATH, without //)"
        );
        assert_eq!(
            refusal::<StoreUrl>("a.db"),
            "\"a.db\" is not a store (sqlite:PATH)"
        );
    }

    #[test]
    fn refused_store_does_not_show_the_password_in_its_url() {
        assert_eq!(
            refusal::<StoreUrl>("postgres://me:hidden@db/x"),
            "\"postgres:…\" is not a store (sqlite:PATH)"
        );
    }

    #[test]
    fn address_may_leave_out_the_host_or_name_this_machine() {
        for (text, shown) in [
            (":8080", "0.0.0.0:8080"),
            ("localhost:1", "127.0.0.1:1"),
            ("[::]:80", "[::]:80"),
        ] {
            assert_eq!(at(text).to_string(), shown);
        }
        for text in ["8080", "localhost", "localhost:99999", "example.com:80", ""] {
            let refusal = refusal::<ListenAddr>(text);
            let expected = "is not an address and port, such as 127.0.0.1:8080";
            assert_eq!(refusal, format!("{text:?} {expected}"));
        }
    }

    #[test]
    fn admin_address_that_others_reach_needs_a_token() {
        assert!(Admin::new(at("127.0.0.1:1"), None).is_ok());
        assert!(Admin::new(at("[::1]:1"), None).is_ok());
        assert!(Admin::new(at("[::ffff:127.0.0.1]:1"), None).is_ok());
        assert_eq!(
            Admin::new(at(":8081"), None).unwrap_err().to_string(),
            "--admin-listen 0.0.0.0:8081 can be reached from other machines; add --admin-token-file FILE",
        );
        let file = Path::new("/run/token");
        assert!(Admin::new(at(":8081"), Some((file, "t\n"))).is_ok());
        assert_eq!(
            Admin::new(at(":8081"), Some((file, " \n")))
                .unwrap_err()
                .to_string(),
            "/run/token: empty; put the token of --admin-token-file in it",
        );
    }

    #[test]
    fn two_listeners_on_one_port_are_refused_where_they_meet() {
        for (listen, admin) in [
            (":80", "127.0.0.1:80"),
            ("[::]:80", "127.0.0.1:80"),
            ("10.0.0.1:80", "[::ffff:10.0.0.1]:80"),
        ] {
            let refused = at(listen).apart_from(at(admin)).unwrap_err();
            assert!(refused.to_string().contains("are one port"), "{refused}");
            assert!(at(admin).apart_from(at(listen)).is_err());
        }
        for (listen, admin) in [
            (":80", "127.0.0.1:81"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("127.0.0.2:80", "127.0.0.1:80"),
            ("0.0.0.0:80", "[::1]:80"),
        ] {
            assert_eq!(at(listen).apart_from(at(admin)), Ok(()));
        }
    }

    #[test]
    fn admin_does_not_print_its_token() {
        let admin = Admin::new(at(":1"), Some((Path::new("f"), "hidden"))).unwrap();
        assert!(!format!("{admin:?}").contains("hidden"));
    }

    #[test]
    fn duration_needs_a_unit() {
        assert_eq!(duration("30d"), Ok(Duration::from_hours(30 * 24)));
        assert_eq!(
            duration("30").unwrap_err().to_string(),
            "\"30\" is not a duration with a unit, such as 30d, 12h or 25s",
        );
    }

    #[test]
    fn event_is_known_as_long_as_its_history_is_kept() {
        let day = Duration::from_hours(24);
        assert!(Retention::new(day, day).is_ok());
        assert_eq!(
            Retention::new(day * 2, day).unwrap_err().to_string(),
            "--dedup-horizon 1day is shorter than --retention 2days; an event must be known as long as its history is kept",
        );
    }

    #[test]
    fn file_of_a_secret_is_read_without_its_last_line_break() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "two\nlines\r\n").unwrap();
        assert_eq!(
            Environment.file(path.to_str().unwrap()),
            Ok("two\nlines".to_owned())
        );
        assert!(
            Environment
                .file("/does/not/exist")
                .unwrap_err()
                .starts_with("cannot read /does/not/exist: ")
        );
    }
}
