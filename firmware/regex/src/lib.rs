//! Stands in for the crate `regex`, of which espflash uses one expression: it looks for a boot
//! loader's greeting on a serial line.
//!
//! `regex-lite` is by the same people, has the same interface as far as that goes, and does
//! without the tables of Unicode and the engines that make the other one fast and large.
#![forbid(unsafe_code)]

pub use regex_lite::*;

#[cfg(test)]
mod tests {
    use super::Regex;

    #[test]
    fn a_boot_loaders_greeting_is_found_as_espflash_looks_for_it() {
        let greeting = Regex::new(r"boot:(0x[0-9a-fA-F]+)([\s\S]*waiting for download)?").unwrap();
        let said = "rst:0x15 (USB_UART_CHIP_RESET),boot:0x5 (DOWNLOAD(USB/UART0))\r\n\
                    waiting for download\r\n";
        let found = greeting.captures(said).unwrap();
        assert_eq!(found.get(1).map(|mode| mode.as_str()), Some("0x5"));
        assert!(found.get(2).is_some());
        let found = greeting.captures("boot:0xd (SPI_FAST_FLASH_BOOT)\r\n").unwrap();
        assert_eq!(found.get(1).map(|mode| mode.as_str()), Some("0xd"));
        assert!(found.get(2).is_none());
        assert!(greeting.captures("anything else").is_none());
    }
}
