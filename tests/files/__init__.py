"""Tests of `gdw.files`."""
