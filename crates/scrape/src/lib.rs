//! narthex-scrape
