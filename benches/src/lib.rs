//! Measurements only: see the files beside this folder, one per subject.
