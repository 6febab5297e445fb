//! The `hexz` command, as a library: a binary with extra plugins calls [`run`] with a registry of
//! its own.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // It opens what its user names.
#![allow(clippy::print_stdout, clippy::print_stderr)] // This crate is the one that prints.

mod about;
mod args;
mod behind;
pub mod cmd;
mod disks;
mod engine_args;
mod failure;
mod file_args;
mod guest;
mod hint;
mod output;
mod progress;
mod scratch;
mod snapshots;
mod sources;
mod status;
mod stream;
#[cfg(feature = "parquet")]
mod tables;
mod values;
mod view;
mod whole;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::FromArgMatches as _;
use hexz_resolve::Registry;

use args::{Cli, Command};

pub use hexz_files::{plugins, registry};

/// The command line of `hexz` with these plugins, for whoever documents it.
#[must_use]
pub fn command(registry: &Registry) -> clap::Command {
    about::command(registry)
}

/// Runs `hexz` with `args`, the first of which is the name of the program.
///
/// Exit status: 0 when the answer is whole; 1 with `--exit-code` when there are changes; 2 when
/// there is no answer; 3 when the answer is not whole, unless `--partial-ok` is given.
pub fn run(registry: Registry, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = about::command(&registry).try_get_matches_from(args);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too; a closed pipe is no trouble.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let result = match cli.command {
        Command::Diff(args) => {
            let args = args.or_base(std::env::var_os("HEXZ_BASE"));
            cmd::data::diff::command(&registry, &args)
        }
        Command::Completions(args) => {
            let mut command = command(&registry);
            clap_complete::generate(args.shell, &mut command, "hexz", &mut io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::Explain(args) => cmd::explain::command(&args),
        Command::Layout(args) => cmd::data::layout::command(&registry, &args),
        Command::Owner(args) => cmd::data::owner::owner(&registry, &args),
        Command::Map(args) => cmd::data::owner::map(&registry, &args),
        Command::Ls(args) => cmd::data::ls::command(&registry, &args),
        Command::Cat(args) => cmd::data::cat::command(&registry, &args),
        Command::Extract(args) => cmd::data::extract::command(&registry, &args),
        Command::VerifyChild(args) => hexz_verify::run(&args.parser, args.length)
            .map(|()| ExitCode::SUCCESS)
            .map_err(Into::into),
    };
    match result {
        Ok(code) => code,
        Err(error) if failure::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let text = failure::one_line(&error);
            eprintln!("hexz: error: {text}");
            if let Some(hint) = hint::of(&format!("{error:#}")) {
                eprintln!("hexz: hint: {hint}");
            }
            ExitCode::from(2)
        }
    }
}
