"""Artifacts from outside: a constant URI, an URI and metadata from parameters."""
from kfp import dsl
from kfp.dsl import Dataset

from components import text, uri_of


@dsl.pipeline(name='importer')
def pipeline(where: str = '/data/in.csv', note: str = 'weekly'):
    fixed = dsl.importer(artifact_uri='s3://bucket/key', artifact_class=Dataset, reimport=True, metadata={'rows': 3})
    uri_of(data=fixed.output)
    label = text(value='label')
    given = dsl.importer(
        artifact_uri=where, artifact_class=Dataset, metadata={'note': note, 'nested': {'label': label.output}}
    )
    uri_of(data=given.output)
