//! Text of a person's act on a task.

use crate::model::intervention::Intervention;

pub(in crate::cli) fn intervention_text(one: &Intervention) -> String {
    let mut text = format!("{}  {}", one.at, one.act.name());
    let parts = [
        (" by ", one.by.clone()),
        (" on rules ", one.rules.clone()),
        (": ", one.why.clone()),
    ];
    for (word, part) in parts {
        if let Some(part) = part {
            text.push_str(word);
            text.push_str(&part);
        }
    }
    let was = one.was.as_ref().map(|was| match &one.failure {
        Some(failure) => format!(" (was {was}: {failure})"),
        None => format!(" (was {was})"),
    });
    text + &was.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::failure::{Failure, FailureKind};
    use crate::model::intervention::{Act, By};
    use crate::model::task::RevisionId;
    use crate::model::time::Timestamp;

    #[test]
    fn line_says_what_is_known() {
        let at = Timestamp::from_millis(0);
        let by = By {
            person: Some("ada".into()),
            why: Some("lms is back".into()),
        };
        let dead = Intervention::new(Act::Retried, &by, at)
            .on("dead", Some(Failure::new(FailureKind::Timeout, "slow")));
        let bare = Intervention::new(Act::Replayed, &By::default(), at);
        let rules = RevisionId::of("");
        for (one, told) in [
            (
                dead,
                "retried by ada: lms is back (was dead: timeout: slow)".to_owned(),
            ),
            (bare.clone(), "replayed".to_owned()),
            (bare.under(rules), format!("replayed on rules {rules}")),
        ] {
            let expected = format!("1970-01-01T00:00:00Z  {told}");
            assert_eq!(intervention_text(&one), expected);
        }
    }
}
