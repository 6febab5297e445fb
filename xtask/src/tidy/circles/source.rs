//! What a source file has: its modules, what they bring into scope, and the paths its code names.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Block, Ident, ImplItem, Item, ItemMod, ItemUse, TraitItem, UseTree};

/// A path, segment by segment.
pub(super) type Path = Vec<String>;

/// A file, with the modules that are written in it.
#[derive(Default)]
pub(super) struct Source {
    /// By their path below the module of the file, which is itself the one with an empty path.
    pub(super) scopes: BTreeMap<Path, Scope>,
    /// Modules that only tests have.
    pub(super) tests: BTreeSet<Path>,
}

/// What is in scope in a module, and what its code names.
#[derive(Default)]
pub(super) struct Scope {
    /// Names of what is defined in it.
    pub(super) items: BTreeSet<String>,
    /// What `use` brings, by the name it has here.
    pub(super) imports: Vec<(String, Path)>,
    /// Paths of which all names are brought.
    pub(super) globs: Vec<Path>,
    /// What the code names, and in which line.
    pub(super) named: Vec<(Path, usize)>,
}

/// Reads a file.
pub(super) fn read(text: &str) -> syn::Result<Source> {
    let mut reader = Reader::default();
    reader.source.scopes.entry(Path::new()).or_default();
    reader.visit_file(&syn::parse_file(text)?);
    Ok(reader.source)
}

#[derive(Default)]
struct Reader {
    source: Source,
    /// The module that is read.
    module: Path,
    /// How many bodies the place is in: what is defined in one is not the module's.
    blocks: usize,
}

impl Reader {
    fn scope(&mut self) -> &mut Scope {
        self.source.scopes.entry(self.module.clone()).or_default()
    }

    fn define(&mut self, name: &Ident) {
        if self.blocks == 0 {
            self.scope().items.insert(name.to_string());
        }
    }

    fn name(&mut self, path: Path, line: usize) {
        self.scope().named.push((path, line));
    }

    /// Each name of a `use`. One that only hands names on names nothing for itself.
    fn import(&mut self, tree: &UseTree, mut path: Path, hands_on: bool) {
        let (name, ident) = match tree {
            UseTree::Path(inner) => {
                path.push(inner.ident.to_string());
                return self.import(&inner.tree, path, hands_on);
            }
            UseTree::Group(group) => {
                for inner in &group.items {
                    self.import(inner, path.clone(), hands_on);
                }
                return;
            }
            UseTree::Glob(_) => return self.scope().globs.push(path),
            UseTree::Name(name) => (&name.ident, &name.ident),
            UseTree::Rename(renamed) => (&renamed.rename, &renamed.ident),
        };
        let mut name = name.to_string();
        if ident != "self" {
            path.push(ident.to_string());
        } else if name == "self" {
            name = path.last().cloned().unwrap_or_default();
        }
        if !hands_on {
            self.name(path.clone(), ident.span().start().line);
        }
        self.scope().imports.push((name, path));
    }

    /// Paths in what a macro is given, which is not parsed.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = Path::new();
        let mut line = 0;
        // What came before: `.` makes a name a field or a method, `::` makes it part of a path.
        let mut before = String::new();
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if before == "." || before == "'" => {
                    before = ident.to_string();
                }
                TokenTree::Ident(ident) => {
                    if before != "::" {
                        self.end(&mut path, line);
                        line = ident.span().start().line;
                    }
                    path.push(ident.to_string());
                    before.clear();
                }
                TokenTree::Punct(punct) => {
                    if punct.as_char() == ':' && before == ":" {
                        before = "::".to_owned();
                    } else {
                        before = punct.to_string();
                        if before != ":" {
                            self.end(&mut path, line);
                        }
                    }
                }
                TokenTree::Group(group) => {
                    self.end(&mut path, line);
                    self.tokens(group.stream());
                    before = match group.delimiter() {
                        Delimiter::None => String::new(),
                        _ => ")".to_owned(),
                    };
                }
                TokenTree::Literal(_) => {
                    self.end(&mut path, line);
                    before.clear();
                }
            }
        }
        self.end(&mut path, line);
    }

    fn end(&mut self, path: &mut Path, line: usize) {
        if !path.is_empty() {
            self.name(std::mem::take(path), line);
        }
    }
}

impl<'a> Visit<'a> for Reader {
    fn visit_item(&mut self, item: &'a Item) {
        let (attributes, name) = match item {
            Item::Const(i) => (&i.attrs, Some(&i.ident)),
            Item::Enum(i) => (&i.attrs, Some(&i.ident)),
            Item::ExternCrate(i) => (&i.attrs, None),
            Item::Fn(i) => (&i.attrs, Some(&i.sig.ident)),
            Item::ForeignMod(i) => (&i.attrs, None),
            Item::Impl(i) => (&i.attrs, None),
            Item::Macro(i) => (&i.attrs, i.ident.as_ref()),
            Item::Mod(i) => {
                if is_test(&i.attrs) {
                    let mut path = self.module.clone();
                    path.push(i.ident.to_string());
                    self.source.tests.insert(path);
                }
                (&i.attrs, None)
            }
            Item::Static(i) => (&i.attrs, Some(&i.ident)),
            Item::Struct(i) => (&i.attrs, Some(&i.ident)),
            Item::Trait(i) => (&i.attrs, Some(&i.ident)),
            Item::TraitAlias(i) => (&i.attrs, Some(&i.ident)),
            Item::Type(i) => (&i.attrs, Some(&i.ident)),
            Item::Union(i) => (&i.attrs, Some(&i.ident)),
            Item::Use(i) => (&i.attrs, None),
            _ => return,
        };
        if is_test(attributes) {
            return;
        }
        if let Some(name) = name {
            self.define(name);
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item(&mut self, item: &'a ImplItem) {
        let test = match item {
            ImplItem::Const(i) => is_test(&i.attrs),
            ImplItem::Fn(i) => is_test(&i.attrs),
            ImplItem::Type(i) => is_test(&i.attrs),
            _ => false,
        };
        if !test {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item(&mut self, item: &'a TraitItem) {
        let test = matches!(item, TraitItem::Fn(i) if is_test(&i.attrs));
        if !test {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_block(&mut self, block: &'a Block) {
        self.blocks += 1;
        visit::visit_block(self, block);
        self.blocks -= 1;
    }

    fn visit_item_mod(&mut self, module: &'a ItemMod) {
        self.module.push(module.ident.to_string());
        if module.content.is_some() {
            self.scope();
            visit::visit_item_mod(self, module);
        }
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        let hands_on = !matches!(item.vis, syn::Visibility::Inherited);
        self.import(&item.tree, Path::new(), hands_on);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        if path.leading_colon.is_none()
            && let Some(first) = path.segments.first()
        {
            let names = path.segments.iter().map(|s| s.ident.to_string());
            self.name(names.collect(), first.ident.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'a syn::Macro) {
        visit::visit_macro(self, call);
        self.tokens(call.tokens.clone());
    }

    /// The path of `pub(super)` names no item.
    fn visit_visibility(&mut self, _: &'a syn::Visibility) {}

    fn visit_attribute(&mut self, _: &'a Attribute) {}
}

/// Whether something is there for tests only.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let only = attribute.parse_args::<Ident>();
        attribute.path().is_ident("cfg") && only.is_ok_and(|name| name == "test")
    })
}
