"""Tables of samples in files: CSV and its like, Parquet, `.npz`; `table.Table` reads the columns that are asked for.

table       `Table`, and how it is to be read; tables written
views       rows that are samples, and rows that are features
delimited   CSV, TSV, semicolons, under gzip too, by pyarrow; what is wrong, by the csv module
archives    `.npz` and Parquet
groups      `ParquetSamples`: Parquet that stays on disk, read by row groups
"""
