//! Writes an estate of any size into a directory: `cargo run -p policy-lang --example estate -- DIR RULES`.

mod generate;

use std::path::Path;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(directory), Some(Ok(rules))) = (arguments.next(), arguments.next().map(|n| n.parse::<usize>())) else {
        eprintln!("usage: estate DIR RULES");
        std::process::exit(2);
    };
    let files = generate::estate(rules);
    for file in &files {
        let path = Path::new(&directory).join(&file.path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, &file.text)?;
    }
    let (first, last) = (generate::target(0), generate::target((rules / generate::RULES).max(1) - 1));
    println!("{} files; targets {first} to {last}; the first permits {}", files.len(), generate::source(0, 0));
    Ok(())
}
