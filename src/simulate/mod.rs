//! ESP32s on a host. (Stub: replaced by the simulator.)
