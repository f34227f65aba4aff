//! `aftertake rules try`: what a rules file would do with a callback, as text.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use crate::cli::exit::{Exit, Stop};
use crate::cli::load;
use crate::cli::out::{Answer, OutFlags};
use crate::cli::table::{fields_text, indented, lines, one_line, step_name};
use crate::model::recorder::Recorder;
use crate::operate::dry_run::{
    Effect, EventReport, Outcome, Report, RuleReport, StepReport, dry_run,
};
use crate::rules::file::RulesFile;

pub(super) fn run(
    rules: &Path,
    (event, from): (&Path, Recorder),
    expect: Option<&str>,
    out: OutFlags,
) -> Result<Exit, Stop> {
    let file = load::rules(rules)?;
    if let Some(name) = expect {
        known(&file, rules, name)?;
    }
    let event = load::event(event, from)?;
    let report = dry_run(&file, &event);
    out.print(&report)?;
    let failing = report.failing();
    let sentence = match expect {
        Some(name) if !report.matches(name) => format!("rule {name:?} does not match this event"),
        _ if failing.is_empty() => return Ok(Exit::Fine),
        _ => format!("steps would fail, of: {}", failing.join(", ")),
    };
    Err(Stop::with_message(Exit::Failed, sentence))
}

fn known(file: &RulesFile, path: &Path, name: &str) -> Result<(), Stop> {
    let names: Vec<&str> = file.rule_names().collect();
    if names.contains(&name) {
        return Ok(());
    }
    let (path, names) = (path.display(), names.join(", "));
    let sentence = format!("--expect {name:?}: {path} has no such rule, only {names}");
    Err(Stop::with_message(Exit::Usage, sentence))
}

impl Answer for Report {
    fn text(&self, _: Option<usize>) -> String {
        let mut text = event(&self.event);
        for rule in &self.rules {
            text.push('\n');
            text.push_str(&one_line(&heading(rule)));
            text.push('\n');
            for step in &rule.steps {
                text.push_str(&indented(&lines(&described(step)), "  "));
            }
        }
        text
    }
}

fn event(event: &EventReport) -> String {
    let mut text = format!("event {}\n{}", event.id, fields_text(&event.fields));
    if event.place.is_none() {
        text.push_str("  it names no object\n");
    }
    text
}

fn heading(rule: &RuleReport) -> String {
    let name = &rule.rule;
    match (&rule.task_id, &rule.reason) {
        (Some(task), None) => format!("{name}: matches, as {task}"),
        (Some(task), Some(reason)) => {
            format!("{name}: matches, and {task} is dead at once: {reason}")
        }
        (None, reason) => format!(
            "{name}: does not match: {}",
            reason.as_deref().unwrap_or_default()
        ),
    }
}

fn described(step: &StepReport) -> String {
    let name = step_name(step.step, &step.id, step.action);
    let mut text = match &step.outcome {
        Outcome::Runs(work) => format!("{name}{}", effect_text(work)),
        Outcome::Skipped { reason } => format!("{name}: skipped: {reason}\n"),
        Outcome::Fails { reason } => format!("{name}: fails: {reason}\n"),
        Outcome::NotReached => format!("{name}: not reached\n"),
    };
    if let (Some(condition), Some(end)) = (&step.condition, text.find('\n')) {
        let condition = format!("\n  only if {condition}, known when it runs");
        text.insert_str(end, &condition);
    }
    text
}

fn effect_text(effect: &Effect) -> String {
    match effect {
        Effect::Rename {
            to,
            on_conflict,
            suffix,
        } => {
            let suffix = suffix
                .as_ref()
                .map(|suffix| format!(" with -{suffix}"))
                .unwrap_or_default();
            format!(" to {to}\n  on_conflict {}{suffix}\n", word(on_conflict))
        }
        Effect::Tag {
            tags,
            mode,
            storage,
            on_invalid,
            objects,
        } => {
            let [mode, storage] = [word(mode), word(storage)];
            let [on_invalid, objects] = [word(on_invalid), word(objects)];
            let mut text = String::from("\n");
            for (key, value) in tags {
                let _ = writeln!(text, "  {key} = {value}");
            }
            text + &format!(
                "  mode {mode}, as {storage}, on_invalid {on_invalid}, objects {objects}\n"
            )
        }
        Effect::Notify {
            destination,
            method,
            url,
            headers,
            body,
        } => {
            let mut text = format!(" {destination}\n  {method} {url}\n");
            for (name, value) in headers {
                let _ = writeln!(text, "  {name}: {value}");
            }
            text + "\n" + &indented(&body_text(body), "  ")
        }
    }
}

/// The value as the rules file spells it.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

fn body_text(body: &Value) -> String {
    match body {
        Value::String(text) => text.clone(),
        json => format!("{json:#}"),
    }
}
