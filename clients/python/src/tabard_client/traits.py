"""The reserved traits as types, in both spellings, and nothing else is forbidden.

Source: the Identify page, "Traits": reserved traits may be passed in camelCase or snake_case.
Annotate a dict with `Traits` and a type checker catches a wrong type or a misspelt reserved trait;
a plain dict of any keys is accepted by every call too.
"""

from datetime import date, datetime
from typing import TypedDict

When = str | int | float | date | datetime


class Address(TypedDict, total=False):
    """A street address, in both spellings."""

    city: str
    country: str
    postalCode: str
    postal_code: str
    state: str
    street: str


class Company(TypedDict, total=False):
    """The company a user represents, in both spellings."""

    name: str
    id: str | int
    industry: str
    employee_count: int
    employeeCount: int
    plan: str


class Traits(TypedDict, total=False):
    """The reserved traits of a person. `When` values: ISO 8601 text, epoch seconds, `date` or `datetime`."""

    address: Address
    age: int | float
    avatar: str
    birthday: When
    company: Company
    createdAt: When
    created_at: When
    description: str
    email: str
    firstName: str
    first_name: str
    gender: str
    id: str
    lastName: str
    last_name: str
    name: str
    phone: str
    title: str
    username: str
    website: str


class GroupTraits(TypedDict, total=False):
    """The reserved traits of a group (a company, an account), in both spellings."""

    address: Address
    avatar: str
    createdAt: When
    created_at: When
    description: str
    email: str
    employees: int | str
    id: str
    industry: str
    name: str
    phone: str
    plan: str
    website: str
