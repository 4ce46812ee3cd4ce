//! How large the program is.

use crate::{
    Outcome,
    hub::BINARY,
    table::{Figure, Table, Unit},
};

pub(crate) fn take(table: &mut Table) -> Outcome<()> {
    let bytes = std::fs::metadata(BINARY)?.len();
    table.push(Figure::new("size of the binary", Unit::Megabytes, bytes as f64 / 1e6).below(10.0));
    Ok(())
}
