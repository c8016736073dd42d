"""Read and write tables of samples in files: delimited text, Parquet, `.npz`; `table.Table` reads columns by name.

table       `Table`, the options of reading, and writing of CSV
views       orientation: one row per sample, or one row per feature
delimited   CSV, TSV and semicolon-separated text, also gzipped: pyarrow, and the csv module where pyarrow fails
archives    `.npz` and Parquet
groups      `ParquetSamples`: Parquet that stays on disk, read by row groups
"""
