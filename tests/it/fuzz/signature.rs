//! The headers of a callback and its signature.
//!
//! An input is header lines, an empty line and a body. The signature `{1}` or `{2}` is replaced
//! by the right one for that key, in upper case with a `+`, and `{3}` by one for an unknown key:
//! mutation would never find one.

use std::time::Duration;

use aftertake::model::time::Timestamp;
use aftertake::recorder::sparkrtc::signature::{Headers, SignatureError, sign, verify};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::{Target, Verdict};

const NOW: Timestamp = Timestamp::from_millis(1_619_600_300_000);
const MAX_AGE: Duration = Duration::from_hours(24);

const TARGET: Target = Target {
    name: "signature",
    samples: None,
    dictionary: &[
        "X-Rtc-Rand: ",
        "X-Rtc-Timestamp: ",
        "X-Rtc-Signature: ",
        "x-rtc-signature: ",
        "{1}",
        "{2}",
        "{3}",
        "{1}+",
        "{2}+",
        "\n\n",
        "\n",
        "\r\n",
        " ",
        "\t",
        "\0",
        "0",
        "1619600300",
        "1619600300000",
        "99999999999",
        "100000000000",
        "9223372036854775807",
        "-1",
        "+1619600300",
        "1e9",
        "{\"a\":1}",
        "\u{a0}",
        "\u{85}",
        "é",
        "\u{feff}",
    ],
    usual: 20_000,
};

#[test]
fn accepted_signature_is_the_one_over_exactly_these_bytes() {
    let keys = ["first-key", "ключ"].map(SecretString::from);
    TARGET.run(|input| {
        let (mut headers, body) = take_apart(input);
        fill_in(&keys, &mut headers, body);
        let check =
            |headers: &Headers, body: &[u8], max_age| verify(&keys, headers, body, NOW, max_age);
        let verdict = check(&headers, body, None);
        assert_eq!(
            verdict.is_ok(),
            is_signed(&keys, &headers, body),
            "{verdict:?}"
        );
        let aged = check(&headers, body, Some(MAX_AGE));
        if let Err(error) = verdict {
            assert_eq!(aged, Err(error), "age counts only once it is signed");
            return Verdict::Refused;
        }
        assert_eq!(aged.is_ok(), is_young(&headers), "{aged:?}");
        for (changed, body) in changed(&headers, body) {
            let verdict = check(&changed, &body, None);
            let wrong = matches!(verdict, Err(SignatureError::Wrong { keys: 2 }));
            assert!(wrong, "{changed:?}");
        }
        Verdict::Accepted
    });
}

/// Drops header fields that no server would pass on.
fn take_apart(input: &[u8]) -> (Headers, &[u8]) {
    let end = input.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((input, &b""[..]), |end| (&input[..end], &input[end + 2..]));
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&line[colon + 1..])) {
            headers.append(name, value);
        }
    }
    (Headers::from(&headers), body)
}

fn fill_in(keys: &[SecretString; 2], headers: &mut Headers, body: &[u8]) {
    let stranger = SecretString::from("first-kez");
    let (Some(rand), Some(timestamp), Some(mark)) =
        (&headers.rand, &headers.timestamp, &headers.signature)
    else {
        return;
    };
    let key = match mark.trim_end_matches('+') {
        "{1}" => &keys[0],
        "{2}" => &keys[1],
        "{3}" => &stranger,
        _ => return,
    };
    let signature = sign(key, rand, timestamp, body);
    headers.signature = Some(if mark.ends_with('+') {
        signature.to_uppercase()
    } else {
        signature
    });
}

/// HMAC over random text, timestamp and body, concatenated.
fn is_signed(keys: &[SecretString; 2], headers: &Headers, body: &[u8]) -> bool {
    let Headers {
        rand: Some(rand),
        timestamp: Some(timestamp),
        signature: Some(signature),
    } = headers
    else {
        return false;
    };
    let signed = [rand.as_bytes(), timestamp.as_bytes(), body].concat();
    keys.iter().any(|key| {
        let mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).unwrap();
        let right = mac.chain_update(&signed).finalize().into_bytes();
        let right = format!("{:x}", Bytes::copy_from_slice(&right));
        signature.eq_ignore_ascii_case(&right)
    })
}

fn is_young(headers: &Headers) -> bool {
    let timestamp = headers.timestamp.as_deref().unwrap_or_default();
    let Ok(number) = timestamp.parse::<i128>() else {
        return false;
    };
    let millis = if number < 100_000_000_000 {
        number * 1000
    } else {
        number
    };
    let age = i128::from(NOW.millis()) - millis;
    number >= 0 && age.unsigned_abs() <= MAX_AGE.as_millis()
}

/// The callback with a change in each signed part.
fn changed(headers: &Headers, body: &[u8]) -> [(Headers, Vec<u8>); 4] {
    let grown = |text: &Option<String>| text.as_ref().map(|text| format!("{text}0"));
    let rand = Headers {
        rand: grown(&headers.rand),
        ..headers.clone()
    };
    let timestamp = Headers {
        timestamp: grown(&headers.timestamp),
        ..headers.clone()
    };
    let mut flipped = body.to_vec();
    match body.len() {
        0 => flipped.push(0),
        length => flipped[length / 2] ^= 1,
    }
    let longer = [body, b"\n"].concat();
    [
        (rand, body.to_vec()),
        (timestamp, body.to_vec()),
        (headers.clone(), flipped),
        (headers.clone(), longer),
    ]
}
