//! Errors as one line for a person.

use std::io;

use hexz_resolve::Error;

/// Whether the reader of our output went away: no trouble of ours.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// The error and its causes, joined by `: `, safe for a terminal.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut text = joined(error);
    // What was asked for and is not there is no matter of what is supported.
    for asked in [
        "unsupported path: there is no",
        "unsupported volume: there is no",
    ] {
        text = text.replace(asked, "there is no");
    }
    hexz_report::escaped(text.as_bytes())
}

/// The error and its causes. What could not be done with what is said once, however many layers
/// say it.
fn joined(error: &anyhow::Error) -> String {
    let mut said = None;
    let one = |cause: &(dyn std::error::Error + 'static)| {
        let text = cause.to_string();
        let Some(known) = cause.downcast_ref::<Error>() else {
            return text;
        };
        let what = format!("{}: ", Error::new(known.kind(), known.structure()));
        let again = said.as_ref() == Some(&what);
        let rest = text.strip_prefix(&what).filter(|_| again);
        let rest = rest.map(str::to_owned);
        said = Some(what);
        rest.unwrap_or(text)
    };
    let causes: Vec<String> = error.chain().map(one).collect();
    causes.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hexz_resolve::ErrorKind;

    #[test]
    fn nothing_is_said_twice() {
        let inner = Error::unsupported("image", "it is encrypted");
        let outer = Error::new(ErrorKind::Unsupported, "image").message("x.img");
        let error = anyhow::Error::from(outer.source(inner)).context("cannot load");
        let expected = "cannot load: unsupported image: x.img: it is encrypted";
        assert_eq!(one_line(&error), expected);
        let inner = Error::unsupported("header", "version 9");
        let outer = Error::new(ErrorKind::Unsupported, "image").message("x.img");
        let error = anyhow::Error::from(outer.source(inner));
        let expected = "unsupported image: x.img: unsupported header: version 9";
        assert_eq!(one_line(&error), expected);
    }
}
