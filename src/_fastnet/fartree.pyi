"""What a bitmap has beyond its dense region (C level only: ``cimport`` it)."""
