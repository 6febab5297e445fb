//! `hexz explain`: what a finding means.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Result, bail};
use hexz_report::codes::{codes, explain};

use crate::args::ExplainArgs;
use crate::output;

pub(crate) fn command(args: &ExplainArgs) -> Result<ExitCode> {
    let mut out = output::plain();
    let Some(code) = &args.code else {
        for code in codes() {
            writeln!(out, "{:<26} {}", code.code, code.meaning)?;
        }
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    };
    let Some(known) = explain(code) else {
        bail!("there is no finding {code:?}; `hexz explain` lists all");
    };
    writeln!(out, "{code} ({})\n", known.severity)?;
    writeln!(out, "  {}\n", known.meaning)?;
    let effect = match known.effect {
        "none" => "the answer stays whole",
        "false" => "the answer is not whole (exit status 3)",
        other => other,
    };
    writeln!(out, "  effect:     {effect}")?;
    writeln!(out, "  what to do: {}", known.remedy)?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
