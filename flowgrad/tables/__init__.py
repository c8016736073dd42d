"""Tables of samples in files: delimited text, Parquet, `.npz`; `table.Table` reads the requested columns.

table       `Table`, the options of reading, and writing of CSV
views       orientation: a row a sample, or a row a feature
delimited   CSV, TSV and semicolons, also under gzip: pyarrow, and the csv module where pyarrow fails
archives    `.npz` and Parquet
groups      `ParquetSamples`: Parquet that stays on disk, read by row groups
"""
