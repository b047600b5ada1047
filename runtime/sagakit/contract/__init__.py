"""Contracts as documents: what a module's sagas take, publish and send, as AsyncAPI 3, and how two of them differ.

async_schemas  JSON Schemas in the dialect of AsyncAPI, and back
subject_contracts  the messages that sagas exchange with others, by subject
envelopes      the schemas of whole messages: an event, a message to a saga, a command and its reply
event_contracts  the events of a saga type, with their data
document       the AsyncAPI document
contract_reading  documents as they are read again, to be compared
contract_diff  the changes between two documents, with whom each one breaks
"""
