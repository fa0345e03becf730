"""dlt's DuckDB, where rows that replace others go from their Parquet files straight into the table.

dlt writes them into a staging table first, and sorts whole rows there to find keys that come twice: each row is written
twice, and most of a load's time goes there. Here a transaction for each table deletes what has the keys of the files,
and inserts the files; where a key comes twice, which the key columns alone tell, the newest row of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.destination.client import (
    FollowupJobRequest,
    HasFollowupJobs,
    LoadJob,
    RunnableLoadJob,
)
from dlt.common.destination.typing import PreparedTableSchema
from dlt.common.schema import Schema
from dlt.common.schema.typing import TTableSchema
from dlt.common.schema.utils import get_columns_names_with_prop, get_dedup_sort_tuple
from dlt.common.storages.load_package import LoadJobInfo
from dlt.destinations import duckdb
from dlt.destinations.impl.duckdb.configuration import DuckDbClientConfiguration
from dlt.destinations.impl.duckdb.duck import DuckDbClient
from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient
from dlt.destinations.job_impl import ReferenceFollowupJobRequest
from duckdb import DuckDBPyConnection

from .database import patient

SETTINGS = ("SET GLOBAL checkpoint_threshold = '16MB'", "SET GLOBAL preserve_insertion_order = false")
"""dlt has DuckDB write everything into its log first, up to a gigabyte, and then once more into the file."""


class Duck(duckdb):
    """The destination."""

    def _raw_capabilities(self) -> DestinationCapabilitiesContext:
        told = super()._raw_capabilities()
        told.supported_loader_file_formats = [*told.supported_loader_file_formats, "reference"]
        return told

    @property
    def client_class(self) -> type[DuckDbClient]:
        return Client


class SqlClient(DuckDbSqlClient):
    """Its connections."""

    def open_connection(self) -> DuckDBPyConnection:
        return patient()(super().open_connection)


class Client(DuckDbClient):
    """Its client."""

    def __init__(
        self, schema: Schema, config: DuckDbClientConfiguration, capabilities: DestinationCapabilitiesContext
    ) -> None:
        super().__init__(schema, config, capabilities)
        names = self.create_dataset_names(schema, config)
        self.sql_client = SqlClient(*names, config.credentials, capabilities)

    def should_load_data_to_staging_dataset(self, table_name: str) -> bool:
        staged = super().should_load_data_to_staging_dataset(table_name)
        return staged and not direct(self.prepare_load_table(table_name))

    def create_load_job(
        self, table: PreparedTableSchema, file_path: str, load_id: str, restore: bool = False
    ) -> LoadJob:
        if ReferenceFollowupJobRequest.is_reference_job(file_path):
            return Merge(file_path)
        if direct(table) and file_path.endswith(".parquet"):
            return Waits(file_path)
        return super().create_load_job(table, file_path, load_id, restore)

    def create_table_chain_completed_followup_jobs(
        self,
        table_chain: Sequence[PreparedTableSchema],
        completed_table_chain_jobs: Sequence[LoadJobInfo] | None = None,
    ) -> list[FollowupJobRequest]:
        if not direct(table_chain[0]):
            return super().create_table_chain_completed_followup_jobs(table_chain, completed_table_chain_jobs)
        jobs = [job for job in completed_table_chain_jobs or () if job.job_file_info.file_format == "parquet"]
        name = jobs[0].job_file_info.file_name()
        return [ReferenceFollowupJobRequest(name, [job.file_path for job in jobs])]


def direct(table: Any) -> bool:
    """Whether a table's rows replace those of the same key; those of scd2 end others, which is left to dlt."""
    return bool(table["write_disposition"] == "merge" and table.get("x-merge-strategy") == "delete-insert")


class Waits(RunnableLoadJob, HasFollowupJobs):
    """A file that is loaded with the others of its table, once all of them are there."""

    def run(self) -> None:
        """Nothing."""


class Merge(RunnableLoadJob):
    """The files of a table, put into it."""

    def run(self) -> None:
        client: Any = self._job_client
        sql, table = client.sql_client, cast(TTableSchema, self._load_table)
        files = ReferenceFollowupJobRequest.resolve_references(self._file_path)
        told = ", ".join(sql.capabilities.escape_literal(one) for one in sorted(files))
        rows, into = f"read_parquet([{told}], union_by_name = true)", sql.make_qualified_table_name(table["name"])
        primary, merge = (get_columns_names_with_prop(table, prop) for prop in ("primary_key", "merge_key"))
        names = ", ".join(map(sql.escape_column_name, primary or merge))
        newest = ""
        sql.execute_many(SETTINGS)
        with sql.begin_transaction():
            sql.execute_sql(f"DELETE FROM {into} WHERE ({names}) IN (SELECT ({names}) FROM {rows})")  # noqa: S608
            if primary and sql.execute_sql(f"SELECT count(*) > count(DISTINCT ({names})) FROM {rows}")[0][0]:  # noqa: S608
                column, order = get_dedup_sort_tuple(table) or (primary[0], "desc")
                by = f"PARTITION BY {names} ORDER BY {sql.escape_column_name(column)} {order}"
                newest = f"QUALIFY row_number() OVER ({by}) = 1"
            sql.execute_sql(f"INSERT INTO {into} BY NAME SELECT * FROM {rows} {newest}")  # noqa: S608
