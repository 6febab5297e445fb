//! Documents: links lead somewhere, and the tutorial's code is the code.

use super::tree::Tree;

const TUTORIAL: &str = "docs/adding-a-filesystem.md";
/// Where the files that the tutorial names lie.
const TUTORIAL_SOURCE: &str = "tests/toyfs/";

pub(super) fn check(tree: &Tree, wrong: &mut Vec<String>) {
    for (path, text) in tree.with_end(".md") {
        links(tree, path, text, wrong);
    }
    match tree.text(TUTORIAL) {
        Some(text) => tutorial(tree, text, wrong),
        None => wrong.push(format!("{TUTORIAL} is missing")),
    }
}

fn links(tree: &Tree, path: &str, text: &str, wrong: &mut Vec<String>) {
    let mut fenced = false;
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        for part in line.split("](").skip(1) {
            let target = part.split([')', ' ']).next().unwrap_or_default();
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
                continue;
            }
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            if !tree.exists(
                &format!("{folder}/{file}")
                    .trim_start_matches('/')
                    .replace("//", "/"),
            ) {
                wrong.push(format!("{path}: the link to {target} leads nowhere"));
            }
        }
    }
}

/// Code blocks that are marked with a file are pieces of that file; `// …` on a line of its own
/// stands for what is left out.
fn tutorial(tree: &Tree, text: &str, wrong: &mut Vec<String>) {
    let mut lines = (1..).zip(text.lines());
    let mut blocks = 0;
    while let Some((number, line)) = lines.next() {
        let Some(mark) = line.strip_prefix("```") else {
            continue;
        };
        let block: Vec<&str> = lines
            .by_ref()
            .map(|(_, l)| l)
            .take_while(|l| *l != "```")
            .collect();
        let Some(file) = mark
            .split("title=\"")
            .nth(1)
            .and_then(|m| m.split('"').next())
        else {
            continue;
        };
        blocks += 1;
        let Some(source) = tree.text(&format!("{TUTORIAL_SOURCE}{file}")) else {
            wrong.push(format!(
                "{TUTORIAL}:{number}: there is no {TUTORIAL_SOURCE}{file}"
            ));
            continue;
        };
        let mut rest = source;
        for piece in block.split(|l| ["// …", "# …"].contains(&l.trim())) {
            let piece = piece.join("\n");
            match rest.find(piece.trim_matches('\n')) {
                Some(at) => rest = &rest[at..],
                None => {
                    wrong.push(format!(
                        "{TUTORIAL}:{number}: this is not in {file}:\n{piece}"
                    ));
                    break;
                }
            }
        }
    }
    if blocks == 0 {
        wrong.push(format!("{TUTORIAL}: no block is marked with its file"));
    }
}
