//! `aftertake demo`: runs the real service once, with nothing to set up.
//!
//! A folder replaces the bucket, and a local HTTP server the systems to notify. Everything else is
//! the real service on real ports.

mod callbacks;
mod receiver;
mod recordings;

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use self::callbacks::{Posted, callbacks, post};
use self::receiver::Receiver;
use super::exit::{Exit, Stop};
use super::out::print;
use super::{load, serve, store, tasks};
use crate::app::Service;
use crate::config::{Admin, Environment, ListenAddr, LogFormat, Retention, Settings, StoreUrl};
use crate::model::recorder::Recorder;
use crate::operate::{self, tasks::TaskLine};
use crate::recorder;
use crate::store::lists::TaskFilter;

/// See it work: recordings, callbacks and a receiver are created for the demo
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  aftertake demo --keep")]
pub(super) struct Demo {
    /// Leave the service running until Ctrl-C, to look around
    #[arg(long)]
    keep: bool,
}

/// How long the demo waits until its tasks are finished.
const PATIENCE: Duration = Duration::from_secs(30);

impl Demo {
    pub(super) fn run(&self) -> Result<Exit, Stop> {
        let folder = tempfile::Builder::new().prefix("aftertake-demo-").tempdir();
        let folder = folder
            .context("make a folder for the demo")
            .map_err(failed)?
            .keep();
        serve::runtime()?.block_on(self.play(&folder))
    }

    async fn play(&self, folder: &Path) -> Result<Exit, Stop> {
        make_recordings(&folder.join("recordings"))
            .context("make recordings")
            .map_err(failed)?;
        let receiver = Receiver::refusing_first("support-12", 2);
        let to = receiver
            .serve()
            .await
            .context("start a receiver")
            .map_err(failed)?;
        let rules = folder.join("rules.yaml");
        std::fs::write(&rules, rules_text(to))
            .context("write rules")
            .map_err(failed)?;
        let settings = settings(folder, &rules)?;
        let service = Service::start(&settings, load::rules(&rules)?, Arc::new(Environment));
        let service = service.await.map_err(serve::refused)?;
        print(&format!(
            "aftertake demo in {}\n  callbacks come in on   http://{}{}\n  operators ask on       \
             http://{}/metrics\n  a receiver listens on  http://{to}\n\nposting callbacks, signed as SparkRTC signs them:\n",
            folder.display(),
            service.public(),
            recorder::path(Recorder::SparkRtc),
            service.admin(),
        ))?;
        let mut posted = Vec::new();
        for callback in callbacks() {
            let answer = post(service.public(), &callback)
                .await
                .context("post a callback")
                .map_err(failed)?;
            print(&format!("  {:<58} -> {}\n", callback.about, answer.status))?;
            posted.push(answer);
        }
        let settled = settled(&settings.store).await?;
        print(&account(&settings.store, &receiver, folder)?)?;
        if self.keep {
            print("\nthe service runs on; Ctrl-C ends it\n")?;
            let _ = tokio::signal::ctrl_c().await;
        }
        service.drain().await;
        let accepted = posted
            .iter()
            .all(|Posted { status }| status.starts_with("200"));
        Ok(if settled && accepted {
            Exit::Fine
        } else {
            Exit::Failed
        })
    }
}

fn failed(error: anyhow::Error) -> Stop {
    Stop::new(Exit::Failed, error)
}

fn make_recordings(folder: &Path) -> io::Result<()> {
    recordings::write_mp4(&folder.join("Record/mp4/class-7_2026-03-02-01-00-11.mp4"))?;
    recordings::write_mp4(&folder.join("Record/mp4/support-12_2026-03-02-02-00-11.mp4"))?;
    recordings::write_hls(
        &folder.join("Record/hls/class-8_2026-03-02-03-00-11/class-8_2026-03-02-03-00-11.m3u8"),
        3,
    )?;
    Ok(())
}

fn settings(folder: &Path, rules: &Path) -> Result<Settings, Stop> {
    let local: ListenAddr = "127.0.0.1:0"
        .parse()
        .map_err(|error| Stop::new(Exit::Failed, error))?;
    let unfit = |error| Stop::new(Exit::Failed, anyhow::Error::new(error));
    Ok(Settings {
        rules: rules.to_owned(),
        watch: false,
        store: StoreUrl::Sqlite(folder.join("aftertake.db")),
        listen: local,
        admin: Admin::new(local, None).map_err(unfit)?,
        retention: Retention::new(Duration::from_hours(24), Duration::from_hours(24))
            .map_err(unfit)?,
        grace: Duration::from_secs(5),
        log: LogFormat::Text,
        log_filter: "warn".to_owned(),
    })
}

fn rules_text(receiver: std::net::SocketAddr) -> String {
    format!(
        r#"callbacks:
  sparkrtc: {{ keys: ["{key}"] }}
buckets:
  demo-recordings: {{ store: folder, path: ./recordings }}
destinations:
  lms:
    url: http://{receiver}/hooks/recordings
    secret: whsec_ZGVtby1zZWNyZXQtZGVtby1zZWNyZXQ=
    allow_private: true
rooms:
  - {{ room: "class-*", tags: {{ department: teaching }} }}
  - {{ room: "*", tags: {{ department: other }} }}
retry: {{ first: 200ms, longest: 1s }}
rules:
  - name: archive-classes
    when: {{ room: "class-*" }}
    steps:
      - rename: {{ to: "classes/{{{{ room_id }}}}/{{{{ start_time | date('%Y-%m-%d') }}}}/{{{{ object.name }}}}" }}
      - tag: by_room
      - notify: lms
  - name: announce-support
    when: {{ room: "support-*" }}
    steps:
      - notify: lms
"#,
        key = callbacks::KEY,
    )
}

/// Waits until no task is ready or running, and returns whether all are done.
async fn settled(url: &StoreUrl) -> Result<bool, Stop> {
    let wait = async {
        loop {
            let rows = all(url)?;
            if rows
                .iter()
                .all(|row| row.state != "ready" && row.state != "running")
            {
                return Ok(rows.iter().all(|row| row.state == "done"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or(Ok(false))
}

/// Up to 100 tasks, the newest first.
fn all(url: &StoreUrl) -> Result<Vec<TaskLine>, Stop> {
    let store = store::operator(url)?;
    let list = operate::tasks::list(&*store, &TaskFilter::default(), 100, None);
    Ok(list.map_err(store::not_listed)?.rows)
}

fn account(url: &StoreUrl, receiver: &Receiver, folder: &Path) -> Result<String, Stop> {
    let mut rows = all(url)?;
    rows.reverse();
    let mut text = format!("\nwhat became of them:\n{}", tasks::rows_text(&rows, None));
    text.push_str("\nwhat the receiver got:\n");
    for request in receiver.requests() {
        let place = request
            .body
            .pointer("/data/place/key")
            .and_then(serde_json::Value::as_str)
            .unwrap_or("-");
        let signed = if request.signed { "signed" } else { "unsigned" };
        let _ = writeln!(
            text,
            "  {}  {signed}, answered {}: {place}",
            request.webhook_id, request.status
        );
    }
    text.push_str("\nwhere the recordings are now:\n");
    let mut files = Vec::new();
    collect(&folder.join("recordings"), &mut files)
        .context("list the recordings")
        .map_err(failed)?;
    files.sort();
    for file in files {
        let _ = writeln!(
            text,
            "  {}",
            file.strip_prefix(folder).unwrap_or(&file).display()
        );
    }
    let example = rows
        .first()
        .map(|row| row.id.to_string())
        .unwrap_or_default();
    let _ = writeln!(
        text,
        "\nlook closer:\n  aftertake tasks show {example} --store {url}\n  aftertake events list --store {url}\n  \
         rm -r {}   when you have seen enough",
        folder.display(),
    );
    Ok(text)
}

/// Files below a folder, without the folder store's internal ones.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(".aftertake"));
        match path.is_dir() {
            _ if hidden => {}
            true => collect(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}
