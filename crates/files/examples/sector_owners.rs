//! The files that own sectors, which stand in a list, one a line (`-` is standard input):
//! `cargo run -p hexz-files --example sector_owners -- IMAGE LIST`.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // It reads what it was given.
#![allow(clippy::print_stdout)] // A program for a terminal.

use std::error::Error;
use std::io::Read as _;
use std::process::ExitCode;

use hexz_files::Owners;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(image), Some(list)) = (arguments.next(), arguments.next()) else {
        println!("usage: sector_owners IMAGE LIST");
        return Ok(ExitCode::from(2));
    };
    let mut text = String::new();
    match list == "-" {
        true => std::io::stdin().read_to_string(&mut text)?,
        false => std::fs::File::open(list)?.read_to_string(&mut text)?,
    };
    let sectors: Result<Vec<u64>, _> = text.split_whitespace().map(str::parse).collect();
    let report = Owners::of(std::path::PathBuf::from(image))
        .sectors(sectors?)
        .run()?;
    for piece in &report.owners {
        let (first, last) = (piece.start / 512, (piece.start + piece.length - 1) / 512);
        print!("{first}-{last} {}", piece.class.as_str());
        for owner in &piece.owners {
            let names = owner.paths.iter().map(|path| String::from_utf8_lossy(path));
            print!(" {:?}", names.collect::<Vec<_>>());
        }
        println!();
    }
    Ok(match report.summary.complete {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(3),
    })
}
