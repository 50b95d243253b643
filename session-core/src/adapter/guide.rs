//! The guide for binding another framework. It holds no code but its examples.
#![doc = include_str!("guide.md")]
#![allow(unused_imports, reason = "for the links of the guide")]

use super::{Headers, HeadersMut, RequestHead, ResponseHead, Scope, ScopeGuard};
