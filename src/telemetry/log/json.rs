//! Log lines as JSON objects.
//!
//! Of three callbacks' log lines, two are written while a callback waits. `tracing_subscriber`'s
//! own JSON format checks each token again and took a seventh of the service's processor time; this
//! writes the same lines.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes time, level, fields in order, target. There are no spans.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let about = event.metadata();
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, "\",\"level\":\"{}\"", about.level())?;
        let mut fields = Fields {
            writer: &mut writer,
            written: Ok(()),
            target: None,
        };
        event.record(&mut fields);
        let Fields {
            written, target, ..
        } = fields;
        written?;
        let target = target.as_deref().unwrap_or(about.target());
        write!(writer, ",\"target\":\"{target}\"}}")?;
        writer.write_char('\n')
    }
}

/// Appends each field.
struct Fields<'a, W> {
    writer: &'a mut W,
    written: fmt::Result,
    /// The target of a line from the crate `log`. Other `log.` fields are left out.
    target: Option<String>,
}

/// Prefix of the fields with the origin of a line from the crate `log`.
const OF_LOG: &str = "log.";

impl<W: Write> Fields<'_, W> {
    /// For values that are spelled the same in JSON as in Rust.
    fn plain(&mut self, field: &Field, value: impl fmt::Display) {
        if field.name().starts_with(OF_LOG) {
            return;
        }
        let mut write = || write!(self.writer, ",\"{}\":{value}", field.name());
        self.written = self.written.and_then(|()| write());
    }

    fn text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if field.name().starts_with(OF_LOG) {
            return;
        }
        let mut write = || {
            write!(self.writer, ",\"{}\":\"", field.name())?;
            Escaped(self.writer).write_fmt(value)?;
            self.writer.write_char('"')
        };
        self.written = self.written.and_then(|()| write());
    }
}

impl<W: Write> Visit for Fields<'_, W> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.plain(field, value);
        } else {
            self.plain(field, "null");
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            self.target = Some(value.to_owned());
        }
        self.text(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format_args!("{value:?}"));
    }
}

/// Escapes what is written, for the inside of a JSON string.
struct Escaped<'a, W>(&'a mut W);

impl<W: Write> Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let acts = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
        let mut rest = text;
        while let Some(at) = rest.bytes().position(acts) {
            let (before, after) = rest.split_at(at);
            self.0.write_str(before)?;
            match after.as_bytes()[0] {
                byte @ (b'"' | b'\\') => write!(self.0, "\\{}", char::from(byte))?,
                byte => write!(self.0, "\\u{byte:04x}")?,
            }
            rest = &after[1..];
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut written = String::new();
        Escaped(&mut written).write_str(text).unwrap();
        written
    }

    #[test]
    fn every_text_is_read_back_as_it_was() {
        for text in [
            "",
            "plain",
            "\"quoted\" \\ back",
            "\"",
            "a\nb\r\t\u{0}\u{1f}\u{7f}",
            "课堂 \u{202e}é",
        ] {
            let json = format!("\"{}\"", escaped(text));
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
