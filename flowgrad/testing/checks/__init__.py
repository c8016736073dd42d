"""The battery, by feature: importing a module puts its checks into the table."""
